-- Takes the lease of KEYS[1], or says what holds it.
-- ARGV: id, generation or nothing, life in ms, whose lease may be taken ('' nobody's, '*' anybody's, or an id)
local value = get(KEYS[1])
if parse(value) then return value end
local held = holder(value)
if held and held ~= ARGV[1] and held ~= ARGV[4] and ARGV[4] ~= '*' then return value end
redis.call('SET', KEYS[1], 'l' .. ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
