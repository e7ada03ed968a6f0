-- Gives up the lease of KEYS[1] if it is held.
-- ARGV: id
if holder(get(KEYS[1])) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
