-- Replaces a value if it is what the caller thinks. KEYS: key. ARGV: old value, new value; an empty new one deletes.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
