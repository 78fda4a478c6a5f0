-- Takes everything that a call needs of all its objects, or nothing.
-- ARGV from 5: instance, id, money, tokens, force, count of objects; for each object: name, limited, rpm, tpm, tpd, parallel,
-- soft budget, count of lines; for each line: period, kind (l lifetime, s seconds, c calendar), begin, end, limit.

local MINUTE, DAY = 60000000, 86400000000
local store = PREFIX .. 'r:' .. ARGV[5]
local id, money, tokens, force = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'

local at = 11
local function take()
  local word = ARGV[at]
  at = at + 1
  return word
end

local demands = {}
for i = 1, tonumber(ARGV[10]) do
  local d = { o = take(), limited = take() == '1' }
  d.rpm, d.tpm, d.tpd = tonumber(take()), tonumber(take()), tonumber(take())
  d.parallel, d.soft = tonumber(take()), take()
  d.lines = {}
  for l = 1, tonumber(take()) do
    local line = { p = take(), k = take(), b = take(), e = take(), m = tonumber(take()) }
    if line.k ~= 'l' and (now < tonumber(line.b) or now >= tonumber(line.e)) then
      -- The window was computed for another moment than this one.
      return { 'window', sequence, whole(now) }
    end
    d.lines[l] = line
  end
  demands[i] = d
end

if redis.call('HEXISTS', store, id) == 1 then
  return { 'held', sequence, whole(now) }
end

local function roll(of, m, length)
  local begin = get(of, m .. 'b')
  if now >= begin + length or now < begin or get(of, m .. 'n') == 0 then
    put(of, m .. 'b', now)
    put(of, m .. 'n', 0)
    put(of, m .. 't', 0)
  end
  return whole(get(of, m .. 'b') + length)
end

local function over(i, dimension, limit, current, reserved, needed, resets)
  return { 'over', sequence, whole(now), i, dimension, whole(limit), whole(current), whole(reserved), whole(needed), resets }
end

local function check(i, d)
  local of = account(d.o)
  for _, line in ipairs(d.lines) do
    local p = purse(of, line)
    local settled, reserved = get(of, p .. 's'), get(of, p .. 'r')
    if not fits(settled, reserved, money, line.m) then
      return over(i, 'budget', line.m, settled, reserved, money, line.k == 'l' and '' or of.fields[p .. 'e'])
    end
  end
  local minute, day = roll(of, 'm', MINUTE), roll(of, 'd', DAY)
  if d.rpm and get(of, 'mn') >= d.rpm then
    return over(i, 'requests', d.rpm, get(of, 'mn'), 0, 1, minute)
  end
  local used = get(of, 'mt')
  if d.tpm and (used + tokens > d.tpm or used >= d.tpm) then
    return over(i, 'tokens', d.tpm, used, 0, tokens, minute)
  end
  used = get(of, 'dt')
  if d.tpd and (used + tokens > d.tpd or used >= d.tpd) then
    return over(i, 'day', d.tpd, used, 0, tokens, day)
  end
  if d.parallel and get(of, 'n') >= d.parallel then
    return over(i, 'parallel', d.parallel, get(of, 'n'), 0, 1, '')
  end
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

local entries, left = {}, {}
for i, d in ipairs(demands) do
  local of = account(d.o)
  put(of, 'n', get(of, 'n') + 1)
  local entry = { o = d.o, l = {} }
  if d.limited then
    for l, line in ipairs(d.lines) do
      local p = purse(of, line)
      put(of, p .. 'r', get(of, p .. 'r') + money)
      entry.l[l] = { p = line.p, k = line.k, b = of.fields[p .. 'b'], e = of.fields[p .. 'e'], m = whole(line.m) }
    end
    if force then
      roll(of, 'm', MINUTE)
      roll(of, 'd', DAY)
    end
    put(of, 'mn', get(of, 'mn') + 1)
    put(of, 'mt', get(of, 'mt') + tokens)
    entry.i = of.fields.mb
    if d.tpd then
      put(of, 'dn', get(of, 'dn') + 1)
      put(of, 'dt', get(of, 'dt') + tokens)
      entry.d = of.fields.db
    end
    if d.soft ~= '' then
      entry.s = d.soft
    end
  end
  entries[i] = entry
  -- Calls and tokens of the minute, calls in flight, and what was spent in the first window.
  local first = entry.l[1]
  local spent = get(of, first and 'p' .. first.p .. 's' or 't')
  left[i] = { whole(get(of, 'mn')), whole(get(of, 'mt')), whole(get(of, 'n')), whole(spent) }
end
save()
local packed = cmsgpack.pack({ m = whole(money), k = whole(tokens), a = whole(now), e = entries })
redis.call('HSET', store, id, packed)
return { 'ok', sequence, whole(now), packed, left }
