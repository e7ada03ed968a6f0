-- Extends the lease of KEYS[1] if it is held.
-- ARGV: id, generation, life in ms
if holder(get(KEYS[1])) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'l' .. ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
return 1
