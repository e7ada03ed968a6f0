-- Invalidates a key: lease KEYS[1], entry KEYS[2], key token KEYS[3]. Marks of others stay, under new tokens.
-- ARGV: the id that ended or nothing, 32 random hex digits, and 32 more
local now = clock()
local lease = without(standing(get(KEYS[1]), now), ARGV[1])
local token = without(standing(get(KEYS[3]), now), ARGV[1])
-- First of all the writes: a script that has deleted may go on writing in a server that is full.
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
if #lease > 0 then put(KEYS[1], fresh('!', ARGV[2]), lease, now) end
if #token > 0 then put(KEYS[3], fresh('!', ARGV[3]), token, now) end
return 1
