-- Puts a reservation that was taken in an earlier state into this one. ARGV from 5: instance, id, the packed reservation.

local store, id = PREFIX .. 'r:' .. ARGV[5], ARGV[6]
if redis.call('HEXISTS', store, id) == 1 then
  return { 'held', sequence, whole(now) }
end
local ticket = cmsgpack.unpack(ARGV[7])
local money = tonumber(ticket.m)
for _, entry in ipairs(ticket.e) do
  local of = account(entry.o)
  if not ticket.q then
    put(of, 'n', get(of, 'n') + 1)
  end
  for _, line in ipairs(entry.l) do
    local p = 'p' .. line.p
    local begin = of.fields[p .. 'b']
    if begin == nil then
      put(of, p .. 'b', line.b)
      put(of, p .. 'e', line.e)
      put(of, p .. 's', line.k == 'l' and get(of, 't') or 0)
      put(of, p .. 'r', 0)
    end
    -- A window that has ended meanwhile is not opened again.
    if of.fields[p .. 'b'] == line.b then
      put(of, p .. 'r', get(of, p .. 'r') + money)
    end
  end
end
save()
redis.call('HSET', store, id, ARGV[7])
return { 'ok', sequence, whole(now) }
