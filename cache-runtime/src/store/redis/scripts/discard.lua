-- Removes the entry KEYS[1] if it is the one that was filled under the lease ARGV[1].
if redis.call('GETRANGE', KEYS[1], 0, 31) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
