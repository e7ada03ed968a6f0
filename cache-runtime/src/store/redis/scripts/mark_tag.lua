-- Marks the tag KEYS[1].
-- ARGV: id, 'o' or 's', life in ms, '1' to renew, 32 random hex digits
place(KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5])
return 1
