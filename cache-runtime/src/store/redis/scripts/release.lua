-- Gives up the lease of KEYS[1] if this asker holds it.
-- ARGV: the asker's half of the id
if asker(holder(get(KEYS[1]))) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
