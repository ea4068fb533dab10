-- A page of one client's entries. A script runs alone, so it sees a deletion whole or not at all.
--
-- KEYS[1]    the list that the client's account is kept in
-- KEYS[2..]  the sorted sets of its days with entries, in their order; one twice where some in its midst are gone
-- ARGV[1]    how many entries are wanted at most
-- then       for each of KEYS[2..] where its members begin and end
--
-- Answers    { list, members of the first key, of the second, ... }: the texts of the account's list, and members as far as they
--            were wanted
--            an error FOREIGN: a key is not of this store's making
--            an error READONLY: the server has become a replica, and says what was, not what is

local asked = redis.pcall('LREM', KEYS[1], 1, '')
if type(asked) == 'table' and string.find(asked.err, 'READONLY', 1, true) then
    return redis.error_reply('READONLY the server has become a replica: connect to the primary')
end
local list = redis.pcall('LRANGE', KEYS[1], 0, -1)
if list.err then
    local is_foreign = string.find(list.err, 'WRONGTYPE', 1, true)
    return is_foreign and redis.error_reply('FOREIGN the key ' .. KEYS[1] .. ' is no list') or list
end
local answer, wanted = { list }, tonumber(ARGV[1])
for place = 2, #KEYS do
    if wanted <= 0 then
        break
    end
    local from, to = ARGV[2 * place - 2], ARGV[2 * place - 1]
    local members = redis.pcall('ZRANGEBYLEX', KEYS[place], from, to, 'LIMIT', 0, wanted)
    if members.err then
        local is_foreign = string.find(members.err, 'WRONGTYPE', 1, true)
        return is_foreign and redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is no sorted set') or members
    end
    answer[place] = members
    wanted = wanted - #members
end
return answer
