-- Puts an entry on the list KEYS[1], of which each member is a key's name, and its score the time in ms when the entry ends.
-- ARGV: the name, life in ms, the rank from the end of the first member that is one too many
local now, life = clock(), tonumber(ARGV[2])
-- First of all the writes: a script that has removed something may go on writing in a server that is full.
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[1])
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, ARGV[3])
return 1
