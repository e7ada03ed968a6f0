-- Stores the entry KEYS[1] if the lease KEYS[2] is held, and ends the lease.
-- ARGV: id, entry, life in ms
if holder(get(KEYS[2])) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
