-- Lets the tokens of KEYS live at least ARGV[1] ms from now. Marks live as long as they were told.
local life = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  if is_token(get(key)) and redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, ARGV[1]) end
end
return 1
