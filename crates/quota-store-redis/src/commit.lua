-- One client's commit, or the proof that nothing has changed. A script runs alone, so it is one step; everything is
-- tested before the first write, and what may still fail is taken back.
--
-- KEYS[1]    the client's account: a hash with v (version), a (account), l (labels), d (days), f (folded until),
--            i (ids of each day), e (days with entries), o (sums that are in no day's key yet), x (where entries are gone
--            that still stand), p (plan). To this
--            script they are opaque, but for the version. Its own is c: somebody came too late for the last commit.
-- KEYS[2..]  other keys of the same client, those that ids may be in first, newest first
-- ARGV[1]    the version that the caller has read; '' where there was none, '?' where nothing was read yet
-- ARGV[2]    the version after this commit; '' where nothing is to be written
-- ARGV[3]    a letter for each of KEYS[2..]: h for a hash, z for a sorted set; - for one that another test shows to be
--            a hash: ids are looked for in it, or its numbers are added to
-- ARGV[4]    how many ids must not be there; where there are any, then in how many of KEYS[2..] they might be, and the
--            ids
-- then       commands until the end, each: its name, the place of its key in KEYS, the count of its words, its words.
--            HINCRBY takes any number of pairs, and stands before all others. HSETPX and ZADDPX are HSET and ZADD, but
--            for the first word: in so many milliseconds the key expires, if this commit makes it. ACCOUNT stands last,
--            and has but words: fields and values of the account, beside its version.
--
-- Answers    1: written, or nothing had to be
--            2: written, and others came too late for it
--            { v, a, l, d, f, i, e, o, x, id, id, ... }: nothing was written, since the version is another or ids are there:
--            the account as it is, and for each id asked for the place of its key and its value, or nil
--            an error FOREIGN: a key or a value is not of this store's making; nothing was written
--            any other error: the server takes no writes; nothing was written
--
-- Amounts never become Lua numbers, which are exact to 2^53 only: HINCRBY takes their digits and adds 64-bit integers.

local call = redis.call
local account, expected, new, kinds = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

local version, others_wait = unpack(call('HMGET', account, 'v', 'c'))
version = version or ''

-- Where the commands begin.
local first_command = 5
local count, found = 0, nil
if ARGV[4] ~= '0' then
    count = tonumber(ARGV[4])
    first_command = 6 + count
    -- In pieces, for Lua's stack is bounded.
    local PIECE = 1000
    for place = 2, 1 + tonumber(ARGV[5]) do
        for first = 1, count, PIECE do
            local last = math.min(first + PIECE - 1, count)
            local values = call('HMGET', KEYS[place], unpack(ARGV, 5 + first, 5 + last))
            for number = first, last do
                local value = values[number - first + 1]
                if value then
                    found = found or {}
                    found[number] = found[number] or place .. ' ' .. value
                end
            end
        end
    end
end

if version ~= expected or found then
    -- Whoever commits next is told that somebody came too late and calls again, which who only confirmed a version and looked for
    -- no ids does not: the answer is enough. Where the memory is full nobody is told.
    local calls_again = new ~= '' or count > 0
    if version ~= expected and expected ~= '?' and version ~= '' and calls_again and not others_wait then
        redis.pcall('HSET', account, 'c', '1')
    end
    local state = call('HMGET', account, 'v', 'a', 'l', 'd', 'f', 'i', 'e', 'o', 'x')
    for number = 1, count do
        state[9 + number] = found and found[number] or false
    end
    return state
end
if new == '' then
    return 1
end

local is_new = {}
for place = 2, #KEYS do
    local letter = string.byte(kinds, place - 1)
    if letter ~= 45 then
        local wanted = letter == 122 and 'zset' or 'hash'
        local kind = call('TYPE', KEYS[place]).ok
        if kind == 'none' then
            is_new[place] = true
        elseif kind ~= wanted then
            return redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is a ' .. kind)
        end
    end
end

local at, last = first_command, #ARGV
while ARGV[at] == 'HINCRBY' do
    local key, size = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
    for field = at + 3, at + 1 + size, 2 do
        local added = redis.pcall('HINCRBY', key, ARGV[field], ARGV[field + 1])
        if type(added) == 'table' then
            -- Take back what was added so far: of this key's pairs, then of those of the commands before.
            local first = first_command
            while first <= at do
                local other, words = KEYS[tonumber(ARGV[first + 1])], tonumber(ARGV[first + 2])
                for done = first + 3, math.min(first + 1 + words, field - 1), 2 do
                    local delta = ARGV[done + 1]
                    if delta ~= '0' then
                        delta = string.sub(delta, 1, 1) == '-' and string.sub(delta, 2) or '-' .. delta
                        call('HINCRBY', other, ARGV[done], delta)
                    end
                end
                first = first + 3 + words
            end
            -- A full memory, for one, says nothing of the key.
            for _, fault in ipairs({ 'WRONGTYPE', 'hash value', 'overflow' }) do
                if string.find(added.err, fault, 1, true) then
                    return redis.error_reply('FOREIGN ' .. ARGV[field] .. ' of ' .. key .. ': ' .. added.err)
                end
            end
            return added
        end
    end
    at = at + 3 + size
end
while at <= last do
    local name = ARGV[at]
    if name == 'ACCOUNT' then
        call('HSET', account, 'v', new, unpack(ARGV, at + 1, last))
        if others_wait then
            call('HDEL', account, 'c')
            return 2
        end
        return 1
    end
    local place, size = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    if name == 'HSETPX' or name == 'ZADDPX' then
        call(string.sub(name, 1, 4), KEYS[place], unpack(ARGV, at + 4, at + 2 + size))
        if is_new[place] then
            call('PEXPIRE', KEYS[place], ARGV[at + 3])
        end
    else
        call(name, KEYS[place], unpack(ARGV, at + 3, at + 2 + size))
        -- It may have taken out the last: then what comes next makes the key anew.
        is_new[place] = is_new[place] or name == 'HDEL' or name == 'UNLINK' or string.sub(name, 1, 4) == 'ZREM'
    end
    at = at + 3 + size
end
return 1
