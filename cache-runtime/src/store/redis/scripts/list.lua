-- Puts an entry on the list KEYS[1], of which each member is a key's name, and its score the time in ms when the entry ends.
-- ARGV: the name, life in ms, the most members
local now, life, most = clock(), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - most
if over > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1) end
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
