-- What a call needs of its objects, for the scripts that take it.
-- ARGV from 5: instance, id, money, tokens, force, count of objects; for each object: name, limited, tokens held (empty: as
-- above), tokens that count (empty: as the rules of the book say; t, i, o: all, of the prompt, of the answer), rpm, tpm, tpd,
-- parallel, soft budget, count of lines; for each line: period, kind (l lifetime, s seconds, c calendar), begin, end, limit.

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
  d.k, d.t = tonumber(take()) or tokens, take()
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

-- Whether tokens do not fit. With tokens of its own kind an object makes what no window could hold wait for an empty one.
local function too_many(d, used, limit)
  local waits = used + d.k > limit and not (d.t ~= '' and used == 0)
  return waits or used >= limit
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
  if d.tpm and too_many(d, used, d.tpm) then
    return over(i, 'tokens', d.tpm, used, 0, d.k, minute)
  end
  used = get(of, 'dt')
  if d.tpd and too_many(d, used, d.tpd) then
    return over(i, 'day', d.tpd, used, 0, d.k, day)
  end
  if d.parallel and get(of, 'n') >= d.parallel then
    return over(i, 'parallel', d.parallel, get(of, 'n'), 0, 1, '')
  end
end

-- Takes what one object is asked for. Gives what a reservation keeps of it.
local function take_of(d)
  local of = account(d.o)
  put(of, 'n', get(of, 'n') + 1)
  local entry = { o = d.o, l = {}, k = whole(d.k), t = d.t }
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
    put(of, 'mt', get(of, 'mt') + d.k)
    entry.i = of.fields.mb
    if d.tpd then
      put(of, 'dn', get(of, 'dn') + 1)
      put(of, 'dt', get(of, 'dt') + d.k)
      entry.d = of.fields.db
    end
    if d.soft ~= '' then
      entry.s = d.soft
    end
  end
  return entry
end

-- Of each object: calls and tokens of the minute, calls in flight, and what was spent in the first window.
local function left()
  local all = {}
  for i, d in ipairs(demands) do
    local of = account(d.o)
    local first = d.lines[1]
    local spent = get(of, first and 'p' .. first.p .. 's' or 't')
    all[i] = { whole(get(of, 'mn')), whole(get(of, 'mt')), whole(get(of, 'n')), whole(spent) }
  end
  return all
end
