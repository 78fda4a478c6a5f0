-- Becomes the one who builds, if nobody is and the state is still the one that was seen. KEYS: lead, epoch.
-- ARGV: instance, milliseconds, the marker that was seen (empty for none), the new marker.
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[3] then
  return 0
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[4])
return 1
