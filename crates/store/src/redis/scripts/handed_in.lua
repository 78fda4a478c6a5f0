-- Closes what is handed in, and reads it: nothing comes in afterwards that nobody would read. KEYS: in.
redis.call('HSET', KEYS[1], 'closed', '1')
return redis.call('HGETALL', KEYS[1])
