-- Turns a reservation over to another target: what both have in common is kept with the new money, what only the new one has
-- is taken, what is missing there is given back. All of it or nothing. Arguments: see demands.lua.

local packed = redis.call('HGET', store, id)
if not packed then
  return { 'gone', sequence, whole(now) }
end
local ticket = cmsgpack.unpack(packed)
local old = tonumber(ticket.m)

local wanted, held = {}, {}
for i, d in ipairs(demands) do
  wanted[d.o] = i
end
for _, entry in ipairs(ticket.e) do
  held[entry.o] = true
end

-- What the others hold in a purse: nothing less than nothing, when an administrator set its spend meanwhile.
local function others_in(of, p)
  return math.max(get(of, p .. 'r') - old, 0)
end

-- The purse of a line, while its window is the one that was reserved in.
local function same(of, line)
  local p = 'p' .. line.p
  return of.fields[p .. 'b'] == line.b and p
end

for _, entry in ipairs(ticket.e) do
  local i, of = wanted[entry.o], account(entry.o)
  for _, line in ipairs(i and entry.l or {}) do
    local p = same(of, line)
    if p then
      local settled, limit, others = get(of, p .. 's'), tonumber(line.m), others_in(of, p)
      if not fits(settled, others, money, limit) then
        return over(i, 'budget', limit, settled, others, money, line.k == 'l' and '' or of.fields[p .. 'e'])
      end
    end
  end
end
for i, d in ipairs(demands) do
  if d.limited and not held[d.o] then
    local refused = check(i, d)
    if refused then
      save()
      return refused
    end
  end
end

local function less(of, field, amount)
  put(of, field, math.max(get(of, field) - amount, 0))
end

local entries = {}
for _, entry in ipairs(ticket.e) do
  local kept, of = wanted[entry.o], account(entry.o)
  for _, line in ipairs(entry.l) do
    local p = same(of, line)
    if p then
      put(of, p .. 'r', others_in(of, p) + (kept and money or 0))
    end
  end
  if kept then
    entries[#entries + 1] = entry
  elseif next(of.fields) ~= nil then
    local counted = tonumber(entry.k or ticket.k)
    if not ticket.q then
      less(of, 'n', 1)
    end
    if entry.i and entry.i == of.fields.mb then
      less(of, 'mt', counted)
    end
    if entry.d and entry.d == of.fields.db then
      less(of, 'dt', counted)
    end
  end
end
for _, d in ipairs(demands) do
  if not held[d.o] then
    entries[#entries + 1] = take_of(d)
  end
end
save()
ticket.m, ticket.e = whole(money), entries
packed = cmsgpack.pack(ticket)
redis.call('HSET', store, id, packed)
return { 'ok', sequence, whole(now), packed, left() }
