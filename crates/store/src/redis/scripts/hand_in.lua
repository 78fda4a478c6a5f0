-- Hands in what calls of a process hold, while the state is built and nobody has read what was handed in. KEYS: epoch, in.
-- ARGV: how the marker begins, then fields and values. Returns 1 when it was taken.
local marker = redis.call('GET', KEYS[1]) or ''
if string.sub(marker, 1, #ARGV[1]) ~= ARGV[1] or redis.call('HEXISTS', KEYS[2], 'closed') == 1 then
  return 0
end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
