-- What an administrator does. ARGV from 5: what, object, and for `set`: amount, since.

local of = account(ARGV[6])
if ARGV[5] == 'set' then
  put(of, 't', tonumber(ARGV[7]))
  put(of, 'since', tonumber(ARGV[8]))
  redis.call('HDEL', PREFIX .. 'o:' .. ARGV[6], 'said')
  for field in pairs(of.fields) do
    local p = string.match(field, '^(p.*)b$')
    if p then
      of.changed[p .. 's'], of.changed[p .. 'r'] = true, true
      of.fields[p .. 's'], of.fields[p .. 'r'] = ARGV[7], '0'
    end
  end
  save()
elseif ARGV[5] == 'forget' then
  local idle = get(of, 'n') == 0
  for field, value in pairs(of.fields) do
    if string.match(field, '^p.*r$') and tonumber(value) ~= 0 then
      idle = false
    end
  end
  if idle then
    redis.call('DEL', PREFIX .. 'o:' .. ARGV[6])
  end
end
return { 'ok', sequence, whole(now) }
