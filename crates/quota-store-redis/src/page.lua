-- A page of one client's entries. A script runs alone, so it sees a deletion whole or not at all.
--
-- KEYS[1]    the client's account
-- KEYS[2..]  the sorted sets of its days with entries, in their order; one twice where some in its midst are gone
-- ARGV[1]    the days with entries as the caller has read them
-- ARGV[2]    where entries are gone that still stand, as the caller has read it
-- ARGV[3]    how many entries are wanted at most
-- then       for each of KEYS[2..] where its members begin and end
--
-- Answers    { days, gone } as they are, and where these are still the same the members of each key that was come to
--            an error FOREIGN: a key is not of this store's making
--            an error READONLY: the server has become a replica, and says what was, not what is

local asked = redis.pcall('HDEL', KEYS[1], '')
if type(asked) == 'table' and string.find(asked.err, 'READONLY', 1, true) then
    return redis.error_reply('READONLY the server has become a replica: connect to the primary')
end
local listed = redis.call('HMGET', KEYS[1], 'e', 'x')
local answer, wanted = { listed }, tonumber(ARGV[3])
if (listed[1] or '') ~= ARGV[1] or (listed[2] or '') ~= ARGV[2] then
    return answer
end
for place = 2, #KEYS do
    if wanted <= 0 then
        break
    end
    local from, to = ARGV[2 * place], ARGV[2 * place + 1]
    local members = redis.pcall('ZRANGEBYLEX', KEYS[place], from, to, 'LIMIT', 0, wanted)
    if members.err then
        local is_foreign = string.find(members.err, 'WRONGTYPE', 1, true)
        return is_foreign and redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is no sorted set') or members
    end
    answer[place] = members
    wanted = wanted - #members
end
return answer
