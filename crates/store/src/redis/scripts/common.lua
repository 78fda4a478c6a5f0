-- What every script of the shared book begins with.
-- KEYS: epoch, sequence. ARGV: epoch, sequence seen so far, prefix of keys, now (0: the clock of this Redis).
-- Further keys are made of the prefix; all carry one hash tag.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('SGEPOCH another state')
end
local sequence = redis.call('INCR', KEYS[2])
if sequence <= tonumber(ARGV[2]) then
  return redis.error_reply('SGSTALE an older state')
end

local PREFIX = ARGV[3]
local now = tonumber(ARGV[4])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Doubles hold every whole number that is used here; this writes them without an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

local accounts = {}

-- What is counted for an object: read once for each script.
local function account(name)
  local known = accounts[name]
  if known then
    return known
  end
  local fields, list = {}, redis.call('HGETALL', PREFIX .. 'o:' .. name)
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  local new = { name = name, fields = fields, changed = {} }
  accounts[name] = new
  return new
end

local function get(of, field)
  return tonumber(of.fields[field] or 0)
end

local function put(of, field, value)
  if type(value) == 'number' then
    value = whole(value)
  end
  of.fields[field] = value
  of.changed[field] = true
end

local function save()
  for name, of in pairs(accounts) do
    local words = {}
    for field in pairs(of.changed) do
      words[#words + 1] = field
      words[#words + 1] = of.fields[field]
    end
    if #words > 0 then
      redis.call('HSET', PREFIX .. 'o:' .. name, unpack(words))
    end
  end
end

-- The purse of a line at this moment. A window that is past is replaced; a clock that went back reopens only windows
-- below a day.
local function purse(of, line)
  local p = 'p' .. line.p
  local begin = of.fields[p .. 'b']
  local fresh = begin == nil
  if not fresh and line.k ~= 'l' then
    fresh = now >= get(of, p .. 'e') or (line.k == 's' and now < tonumber(begin))
  end
  if fresh then
    put(of, p .. 'b', line.b)
    put(of, p .. 'e', line.e)
    put(of, p .. 's', line.k == 'l' and get(of, 't') or 0)
    put(of, p .. 'r', 0)
  end
  return p
end

local function fits(settled, reserved, money, limit)
  return settled + reserved + money <= limit and settled < limit
end
