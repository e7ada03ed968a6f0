-- Marks a key: lease KEYS[1], entry KEYS[2], key token KEYS[3].
-- ARGV: id, 'o' or 's', life in ms, '1' to renew, 32 random hex digits, and 32 more
local life, renew = tonumber(ARGV[3]), ARGV[4] == '1'
if place(KEYS[1], ARGV[1], ARGV[2], life, renew, ARGV[5]) then redis.call('DEL', KEYS[2]) end
place(KEYS[3], ARGV[1], ARGV[2], life, renew, ARGV[6])
return 1
