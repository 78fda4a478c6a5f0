-- A sign of life, and what is new. KEYS: instances, epoch. ARGV: instance, lease in microseconds.
-- Returns Redis' time, the marker of the state, and the instances whose lease is over.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - tonumber(ARGV[2])), 'LIMIT', 0, 100)
return { string.format('%.0f', now), redis.call('GET', KEYS[2]) or '', dead }
