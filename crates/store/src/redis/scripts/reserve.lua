-- Takes everything that a call needs of all its objects, or nothing. Arguments: see demands.lua.

if redis.call('HEXISTS', store, id) == 1 then
  return { 'held', sequence, whole(now) }
end

for i, d in ipairs(demands) do
  if d.limited then
    local refused = check(i, d)
    if refused and not force then
      save()
      return refused
    end
  end
end

local entries = {}
for i, d in ipairs(demands) do
  entries[i] = take_of(d)
end
save()
local packed = cmsgpack.pack({ m = whole(money), k = whole(tokens), a = whole(now), e = entries })
redis.call('HSET', store, id, packed)
return { 'ok', sequence, whole(now), packed, left() }
