-- Changes the money that a reservation holds. ARGV from 5: instance, id, money.

local store, id, money = PREFIX .. 'r:' .. ARGV[5], ARGV[6], tonumber(ARGV[7])
local packed = redis.call('HGET', store, id)
if not packed then
  return { 'gone', sequence, whole(now) }
end
local ticket = cmsgpack.unpack(packed)
local old = tonumber(ticket.m)

-- What the others hold in a purse: nothing less than nothing, when an administrator set its spend meanwhile.
local function without(of, p, held)
  return math.max(get(of, p .. 'r') - held, 0)
end

-- The purse of a line, while its window is the one that was reserved in.
local function same(of, line)
  local p = 'p' .. line.p
  return of.fields[p .. 'b'] == line.b and p
end

for i, entry in ipairs(ticket.e) do
  local of = account(entry.o)
  for _, line in ipairs(entry.l) do
    local p = same(of, line)
    if p then
      local settled, limit = get(of, p .. 's'), tonumber(line.m)
      local others = without(of, p, old)
      if not fits(settled, others, money, limit) then
        local resets = line.k == 'l' and '' or of.fields[p .. 'e']
        return { 'over', sequence, whole(now), i, 'budget', whole(limit), whole(settled), whole(others), whole(money), resets }
      end
    end
  end
end
for _, entry in ipairs(ticket.e) do
  local of = account(entry.o)
  for _, line in ipairs(entry.l) do
    local p = same(of, line)
    if p then
      put(of, p .. 'r', without(of, p, old) + money)
    end
  end
end
save()
ticket.m = whole(money)
packed = cmsgpack.pack(ticket)
redis.call('HSET', store, id, packed)
return { 'ok', sequence, whole(now), packed }
