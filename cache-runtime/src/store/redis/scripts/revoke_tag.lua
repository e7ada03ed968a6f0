-- Invalidates the tag KEYS[1]. Marks of others stay, under a new token.
-- ARGV: the id that ended or nothing, 32 random hex digits
local now = clock()
local others = without(standing(get(KEYS[1]), now), ARGV[1])
redis.call('DEL', KEYS[1])
if #others > 0 then put(KEYS[1], fresh('!', ARGV[2]), others, now) end
return 1
