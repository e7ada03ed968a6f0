-- The tokens of KEYS, created where there is none, and prolonged where they would end soon.
-- ARGV: life in ms, then 32 random hex digits for each key
local life = tonumber(ARGV[1])
local values = {}
for at, key in ipairs(KEYS) do
  local value = get(key)
  if is_token(value) then
    if redis.call('PTTL', key) < life / 2 then redis.call('PEXPIRE', key, ARGV[1]) end
  elseif not parse(value) then
    value = fresh('t', ARGV[at + 1])
    redis.call('SET', key, value, 'PX', ARGV[1])
  end
  values[at] = value
end
return values
