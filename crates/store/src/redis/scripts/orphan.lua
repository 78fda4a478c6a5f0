-- Gives back the parallel slots of an instance that is gone; its money stays held until its records are known.
-- ARGV from 5: instance. Returns the ids that are still held.

local store = PREFIX .. 'r:' .. ARGV[5]
local all, ids = redis.call('HGETALL', store), {}
for i = 1, #all, 2 do
  local ticket = cmsgpack.unpack(all[i + 1])
  ids[#ids + 1] = all[i]
  if not ticket.q then
    ticket.q = true
    for _, entry in ipairs(ticket.e) do
      local of = account(entry.o)
      put(of, 'n', math.max(get(of, 'n') - 1, 0))
    end
    redis.call('HSET', store, all[i], cmsgpack.pack(ticket))
  end
end
save()
return { 'ok', sequence, whole(now), ids }
