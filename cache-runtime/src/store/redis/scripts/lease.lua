-- Takes the lease KEYS[1] of the entry KEYS[2] and says w<32 hex>, its id, or says what holds it; 2 if it is free and the entry is not the one that was seen.
-- ARGV: the asker's half of the id, generation or nothing, life in ms, whose lease may be taken ('' nobody's, '*' anybody's, or an id), and under whose
-- lease the entry was filled that was seen, if any
local value = get(KEYS[1])
if parse(value) then return value end
local held = holder(value)
if held and asker(held) ~= ARGV[1] and held ~= ARGV[4] and ARGV[4] ~= '*' then return value end
if not held and ARGV[4] == '' then
  local filled = redis.pcall('GETRANGE', KEYS[2], 0, 31)
  if type(filled) == 'string' and filled ~= ARGV[5] and string.find(filled, '^' .. HEX32 .. '$') then return 2 end
end
local id = ARGV[1] .. salt()
redis.call('SET', KEYS[1], 'l' .. id .. ':' .. ARGV[2], 'PX', ARGV[3])
return 'w' .. id
