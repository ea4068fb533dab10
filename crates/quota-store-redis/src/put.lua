-- Puts a text before the head of an account's list, if none of some ids is there.
--
-- KEYS[1]    the account; KEYS[2..] hashes that ids may be in
-- ARGV       the head, the text, then ids
--
-- Answers    what LINSERT does: how long the list is; nothing is written where that is not above 0, or -2 where an id is there

for place = 2, #KEYS do
    for _, value in ipairs(redis.call('HMGET', KEYS[place], unpack(ARGV, 3))) do
        if value then
            return -2
        end
    end
end
return redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[1], ARGV[2])
