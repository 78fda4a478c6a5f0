-- Ends a reservation: what it held is given back and what was used is counted. Done once for each id.
-- ARGV from 5: instance, id, money, tokens as the rules of the book count them, tokens of the prompt, of the answer.

local store, id = PREFIX .. 'r:' .. ARGV[5], ARGV[6]
local money, ruled = tonumber(ARGV[7]), tonumber(ARGV[8])
local input, output = tonumber(ARGV[9]), tonumber(ARGV[10])
local packed = redis.call('HGET', store, id)
if not packed then
  return { 'gone', sequence, whole(now) }
end
redis.call('HDEL', store, id)
local ticket = cmsgpack.unpack(packed)
local held, arrival = tonumber(ticket.m), tonumber(ticket.a)

local function less(of, field, amount)
  put(of, field, math.max(get(of, field) - amount, 0))
end

-- The tokens that an object counts.
local function counted(entry)
  if entry.t == 't' then
    return input + output
  elseif entry.t == 'i' then
    return input
  elseif entry.t == 'o' then
    return output
  end
  return ruled
end

local answer = { 'ok', sequence, whole(now) }
for i, entry in ipairs(ticket.e) do
  local of = account(entry.o)
  local tokens, held_tokens = counted(entry), tonumber(entry.k or ticket.k)
  if next(of.fields) ~= nil then
    if not ticket.q then
      less(of, 'n', 1)
    end
    local counts = arrival >= get(of, 'since')
    if counts then
      put(of, 't', get(of, 't') + money)
    end
    local spent, window = nil, '-'
    for _, line in ipairs(entry.l) do
      local p = 'p' .. line.p
      if of.fields[p .. 'b'] == line.b then
        less(of, p .. 'r', held)
        if counts then
          put(of, p .. 's', get(of, p .. 's') + money)
        end
        if not spent then
          spent, window = get(of, p .. 's'), line.b
        end
      end
    end
    if entry.i and entry.i == of.fields.mb then
      less(of, 'mt', held_tokens)
      put(of, 'mt', get(of, 'mt') + tokens)
    end
    if entry.d and entry.d == of.fields.db then
      less(of, 'dt', held_tokens)
      put(of, 'dt', get(of, 'dt') + tokens)
    end
    spent = spent or get(of, 't')
    if entry.s and spent >= tonumber(entry.s) and of.fields.said ~= window then
      put(of, 'said', window)
      answer[#answer + 1] = { i, entry.s, whole(spent), entry.o }
    end
  end
end
save()
return answer
