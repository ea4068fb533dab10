-- Tries every command that commit.lua writes by, for a user who lacks one would be stopped in the midst of a commit.
--
-- KEYS[1]    a key that nobody else uses; it is gone afterwards
--
-- Answers    1, or an error: NOPERM where the user may not do what a store does

local key = KEYS[1]
-- UNLINK first: what cannot be removed is not made.
local tries = {
    { 'UNLINK' }, { 'TYPE' }, { 'HINCRBY', 'a', '1' }, { 'HSET', 'b', '1' }, { 'HGET', 'a' }, { 'HMGET', 'a', 'b' },
    { 'PEXPIRE', '60000' }, { 'HDEL', 'a', 'b' }, { 'ZADD', '0', 'a' }, { 'ZREM', 'b' },
    { 'ZREMRANGEBYLEX', '-', '+' }, { 'UNLINK' }, { 'LPUSH', 'a' }, { 'LINDEX', '0' }, { 'LRANGE', '0', '-1' }, { 'LSET', '0', 'b' },
    { 'LINSERT', 'BEFORE', 'b', 'a' }, { 'LTRIM', '0', '0' }, { 'LREM', '1', '' }, { 'UNLINK' },
}
for number, words in ipairs(tries) do
    local answer = redis.pcall(words[1], key, unpack(words, 2))
    if type(answer) == 'table' and answer.err then
        if number > 1 then
            redis.call('UNLINK', key)
        end
        local is_right = string.find(answer.err, 'NOPERM', 1, true) or string.find(answer.err, 'user executing', 1, true)
            or string.find(answer.err, 'ACL failure', 1, true)
        return is_right and redis.error_reply('NOPERM ' .. words[1] .. ' in scripts: ' .. answer.err) or answer
    end
end
return 1
