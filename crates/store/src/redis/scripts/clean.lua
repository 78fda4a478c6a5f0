-- Removes keys while the state is the one that the caller builds. KEYS: epoch, those keys. ARGV: the marker.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 1
