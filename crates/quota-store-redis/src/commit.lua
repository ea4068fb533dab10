-- One client's commit, or the proof that nothing has changed. A script runs alone, so it is one step; everything is
-- tested before the first write, and what may still fail is taken back.
--
-- KEYS[1]    the client's account: a hash with v (version), a (account), l (labels), d (days), f (folded until),
--            i (ids of each day), e (days with entries), p (plan). To this script they are opaque, but for the version.
-- KEYS[2..]  other keys of the same client, those that ids may be in first, newest first
-- ARGV[1]    the version that the caller has read; '' where there was none, '?' where nothing was read yet
-- ARGV[2]    the version after this commit; '' where nothing is to be written
-- ARGV[3]    a letter for each of KEYS[2..]: h for a hash, z for a sorted set; - for one that another test shows to be
--            a hash: ids are looked for in it, or its numbers are added to
-- ARGV[4]    how many ids must not be there
-- ARGV[5]    in how many of KEYS[2..] they might be
-- ARGV[6..]  these ids
-- then       commands until the end, each: its name, the place of its key in KEYS, the count of its words, its words.
--            HINCRBY takes any number of pairs, and stands before all others. PEXPIRE with a second word is for a key
--            that this commit makes.
--
-- Answers    1: written, or nothing had to be; also where this very commit was written before
--            { v, a, l, d, f, i, e, id, id, ... }: nothing was written, since the version is another or ids are there:
--            the account as it is, and for each id asked for the place of its key and its value, or nil
--            an error FOREIGN: a key or a value is not of this store's making; nothing was written
--            any other error: the server takes no writes; nothing was written
--
-- Amounts never become Lua numbers, which are exact to 2^53 only: HINCRBY takes their digits and adds 64-bit integers.

local account, expected, new = KEYS[1], ARGV[1], ARGV[2]
local count, places = tonumber(ARGV[4]), tonumber(ARGV[5])

local version = redis.call('HGET', account, 'v') or ''
if new ~= '' and version == new then
    return 1
end

-- In pieces, for Lua's stack is bounded.
local PIECE = 1000
local found, is_found = {}, false
for place = 2, 1 + places do
    for first = 1, count, PIECE do
        local last = math.min(first + PIECE - 1, count)
        local values = redis.call('HMGET', KEYS[place], unpack(ARGV, 5 + first, 5 + last))
        for number = first, last do
            local value = values[number - first + 1]
            if value and not found[number] then
                found[number] = place .. ' ' .. value
                is_found = true
            end
        end
    end
end

if version ~= expected or is_found then
    local state = redis.call('HMGET', account, 'v', 'a', 'l', 'd', 'f', 'i', 'e')
    for number = 1, count do
        state[7 + number] = found[number] or false
    end
    return state
end
if new == '' then
    return 1
end

local kinds, is_new = { h = 'hash', z = 'zset' }, {}
for place = 2, #KEYS do
    local wanted = kinds[string.sub(ARGV[3], place - 1, place - 1)]
    if wanted then
        local kind = redis.call('TYPE', KEYS[place]).ok
        is_new[place] = kind == 'none'
        if kind ~= 'none' and kind ~= wanted then
            return redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is a ' .. kind)
        end
    end
end

local at = 6 + count
while ARGV[at] == 'HINCRBY' do
    local key, size = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
    for field = at + 3, at + 1 + size, 2 do
        local added = redis.pcall('HINCRBY', key, ARGV[field], ARGV[field + 1])
        if type(added) == 'table' then
            -- Take back what was added so far: of this key's pairs, then of those of the commands before.
            local first = 6 + count
            while first <= at do
                local other, words = KEYS[tonumber(ARGV[first + 1])], tonumber(ARGV[first + 2])
                for done = first + 3, math.min(first + 1 + words, field - 1), 2 do
                    local delta = ARGV[done + 1]
                    if delta ~= '0' then
                        delta = string.sub(delta, 1, 1) == '-' and string.sub(delta, 2) or '-' .. delta
                        redis.call('HINCRBY', other, ARGV[done], delta)
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
while at <= #ARGV do
    local place, size = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local name = ARGV[at]
    if name ~= 'PEXPIRE' or size == 1 then
        redis.call(name, KEYS[place], unpack(ARGV, at + 3, at + 2 + size))
        -- It may have taken out the last: then what comes next makes the key anew.
        is_new[place] = is_new[place] or name == 'HDEL'
    elseif is_new[place] then
        redis.call(name, KEYS[place], ARGV[at + 3])
    end
    at = at + 3 + size
end
return 1
