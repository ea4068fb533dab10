-- One client's commit, or the proof that nothing has changed. A script runs alone, so it is one step; everything is
-- tested before the first write, and what may still fail is taken back.
--
-- KEYS[1]    the list that the client's account is kept in. Its head is the account as it is now: 32 digits, the version; who waits for
--            a turn, in order, each by the seven bytes of its token and a digit: how often it was passed over, or 9 while its
--            turn goes on at once; and behind a byte 4 the contents, which are opaque to this script, as is what comes behind the head
--            (account_list.rs). A commit that does nothing else puts its text before the head without this script (putting.rs).
-- KEYS[2..]  other keys of the same client, those that ids may be in first, newest first
-- ARGV[1]    the version that the caller has read; '' where there was none, '?' where nothing was read yet
-- ARGV[2]    the version after this commit; '' where nothing is to be written
-- ARGV[3]    a letter for each of KEYS[2..]: h for a hash, z for a sorted set; - for one that another test shows to be
--            a hash: ids are looked for in it, or its numbers are added to
-- ARGV[4]    the caller's token and digit, if it keeps to turns; behind it + where its turn goes on, ! where it goes on at
--            once and - where it ends; and those of whom it has waited for in vain, with the version that has not changed
--            meanwhile
-- ARGV[5]    how many ids must not be there; where there are any, then in how many of KEYS[2..] they might be, how many of them
--            may have been made, and the ids, those last. A made id may stand in a field of its block, which is named by the
--            lowest of its ids: its value tells of the others by their last digits, each after a byte 1
-- then       commands until the end, each: its name, the place of its key in KEYS, the count of its words, its words.
--            HINCRBY takes any number of pairs, and stands before all others. HSETPX and ZADDPX are HSET and ZADD, but
--            for the first word: in so many milliseconds the key expires, if this commit makes it. ACCOUNT, ADDED or
--            ADDED_TO_OWN stands last, and has but one word: the contents of what is put in the place of all that is in the
--            list, or before its head. A head that is not the caller's own does not stay as it was: whoever has written it
--            would put another before it without this script.
--
-- Answers    1: written, or nothing had to be
--            2: written, and others wait for their turn
--            a text: it is not the caller's turn, and nothing was written: who is first, how many are before the caller, and
--            the version
--            { { head, next, ... }, id, id, ... }: nothing was written, since the version is another or ids are there:
--            the list as it is, and for each id asked for nil, or the place of its key, a blank, the last digit of its field where
--            that is another's of its block, a colon and the value
--            an error FOREIGN: a key or a value is not of this store's making; nothing was written
--            an error READONLY: the server has become a replica
--            an error NOPERM: the user has lost a right; nothing was written
--            an error TORN: the same in the midst, which only a Redis before 7.0 finds out so late; what was written before stands
--            any other error: the server takes no writes; nothing was written
--
-- Whose turn it becomes is told so on a channel of its own, with the account, if it listens; else it asks.
--
-- Amounts never become Lua numbers, which are exact to 2^53 only: HINCRBY takes their digits and adds 64-bit integers.

local call = redis.call
local account, expected, new, kinds = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local token, standing = string.sub(ARGV[4], 1, 7), string.sub(ARGV[4], 1, 8)
local going, in_vain = string.sub(ARGV[4], 9, 9), string.sub(ARGV[4], 10)

local DIGITS = 32
local state = redis.pcall('LINDEX', account, 0)
if type(state) == 'table' then
    -- Before Redis 7.0 the error of a call is told as the script's own.
    local is_foreign = string.find(state.err, 'WRONGTYPE', 1, true)
    return is_foreign and redis.error_reply('FOREIGN the key ' .. account .. ' is no list') or state
end
-- From where on the contents are.
local contents = state and string.find(state, '\4', DIGITS + 1, true)
local version, queue = '', ''
if contents then
    version, queue = string.sub(state, 1, DIGITS), string.sub(state, DIGITS + 1, contents - 1)
    if #queue % 8 ~= 0 then
        queue = ''
    end
elseif state then
    return redis.error_reply('FOREIGN the key ' .. account .. ' holds no account')
end

-- Where the commands begin.
local first_command = 6
local count, found = 0, nil
if ARGV[5] ~= '0' then
    count = tonumber(ARGV[5])
    first_command = 8 + count
    -- In pieces, for Lua's stack is bounded.
    local PIECE = 1000
    for place = 2, 1 + tonumber(ARGV[6]) do
        for first = 1, count, PIECE do
            local last = math.min(first + PIECE - 1, count)
            local values = redis.pcall('HMGET', KEYS[place], unpack(ARGV, 7 + first, 7 + last))
            if values.err then
                local is_foreign = string.find(values.err, 'WRONGTYPE', 1, true)
                return is_foreign and redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is no hash') or values
            end
            for number = first, last do
                local value = values[number - first + 1]
                if value then
                    found = found or {}
                    found[number] = found[number] or place .. ' :' .. value
                end
            end
        end
        -- Of those that may have been made, beside lower ones of their blocks.
        local has_blocks = ARGV[7] ~= '0' and string.find(KEYS[place], ':r:%-?%d+$')
        for number = has_blocks and count + 1 - tonumber(ARGV[7]) or count + 1, count do
            local id, lower = ARGV[7 + number], {}
            local block, digit = string.sub(id, 1, -2), string.sub(id, -1)
            -- Not by comparing them, which the server's locale decides about.
            for other in string.gmatch('0123456789ABCDEF', '.') do
                if other == digit then
                    break
                end
                lower[#lower + 1] = block .. other
            end
            local values = #lower > 0 and call('HMGET', KEYS[place], unpack(lower)) or {}
            for other, field in ipairs(lower) do
                local value = values[other]
                if value and string.find(value, '\1' .. digit, 1, true) then
                    found = found or {}
                    found[number] = found[number] or place .. ' ' .. string.sub(field, -1) .. ':' .. value
                end
            end
        end
    end
end

local is_other = version ~= expected

-- Notes who waits.
local function wait(waiting)
    local answer = redis.pcall('LSET', account, 0, version .. waiting .. string.sub(state, contents))
    return not answer.err
end

-- Functions are made anew by every run of a script: these few are only where somebody is, or may be, in the queue.
local tell, stand_in_queue
if is_other or queue ~= '' then
    -- Tells the first of a queue of the account: that it is its turn, and where the account is not long, the account; else that it is
    -- to ask.
    local LONG = 16384
    function tell(waiting, is_its_turn)
        local name = #account .. ':' .. account
        -- What was written is done, whatever may not be read any more.
        local list = is_its_turn and redis.pcall('LRANGE', account, 0, -1)
        local message = name
        if list and not list.err then
            message = name .. table.concat(list, '\5')
        end
        if #message > LONG then
            message = name
        end
        -- Who may not be told asks.
        redis.pcall('PUBLISH', string.match(account, '^[^{]*') .. 'turn:' .. string.sub(waiting, 1, 7), message)
    end

    -- Whoever writes or comes again does it in turn, but the first who comes. Turns are for fairness alone: what is right is decided
    -- by the version.
    local LONGEST = 1000
    function stand_in_queue()
        local before = queue
        if in_vain ~= '' and string.sub(queue, 1, 8) .. version == in_vain then
            queue = string.sub(queue, 9)
        end
        local ahead = 0
        while ahead < #queue / 8 and string.sub(queue, 8 * ahead + 1, 8 * ahead + 7) ~= token do
            ahead = ahead + 1
        end
        if ahead < LONGEST then
            queue = string.sub(queue, 1, 8 * ahead) .. standing .. string.sub(queue, 8 * ahead + 9)
        end
        if queue ~= before then
            -- Where the memory is full nobody stands anywhere.
            if not wait(queue) then
                return 0
            end
            if ahead > 0 and string.sub(queue, 1, 8) ~= string.sub(before, 1, 8) then
                tell(queue, true)
            end
        end
        return ahead
    end
end

if token ~= '' and version ~= '' then
    -- Who only confirmed a version and looked for no ids does not come again: the answer is enough.
    local comes_again = new ~= '' or count > 0 or expected == '?'
    local is_first = string.sub(queue, 1, 7) == token
    if comes_again and not is_first and (is_other or (queue ~= '' and new ~= '')) then
        local ahead = stand_in_queue()
        if ahead > 0 then
            return string.sub(queue, 1, 8) .. ' ' .. ahead .. ' ' .. version
        end
    end
end
-- A server that has become a replica says what was, not what is: to take nothing out of the list tells.
if is_other or found or new == '' then
    local asked = redis.pcall('LREM', account, 1, '')
    if type(asked) == 'table' and string.find(asked.err, 'READONLY', 1, true) then
        return redis.error_reply('READONLY the server has become a replica: connect to the primary')
    end
end
if is_other or found then
    local answer = { call('LRANGE', account, 0, -1) }
    for number = 1, count do
        answer[1 + number] = found and found[number] or false
    end
    return answer
end

-- Whose turn it was leaves the queue with what it does, unless the turn goes on and others wait.
local is_first = token ~= '' and string.sub(queue, 1, 7) == token
local is_kept = is_first and going ~= '-' and #queue > 8
local is_left = is_first and not is_kept
local goes_on = is_kept and going == '!' and string.sub(queue, 8, 8) ~= '9'
if is_left then
    queue = string.sub(queue, 9)
elseif goes_on then
    queue = token .. '9' .. string.sub(queue, 9)
end
-- When that is written.
local function done()
    if queue == '' then
        return 1
    end
    if is_left then
        tell(queue, true)
    elseif goes_on then
        -- Who is next asks, and learns that it need not wait for long.
        tell(string.sub(queue, 9), false)
    end
    return 2
end
if new == '' then
    if is_left or goes_on then
        wait(queue)
    end
    return done()
end

local is_new = {}
for place = 2, #KEYS do
    local letter = string.byte(kinds, place - 1)
    if letter ~= 45 then
        local wanted = letter == 122 and 'zset' or 'hash'
        local kind = call('TYPE', KEYS[place]).ok
        if kind == 'none' then
            is_new[KEYS[place]] = true
        elseif kind ~= wanted then
            return redis.error_reply('FOREIGN the key ' .. KEYS[place] .. ' is a ' .. kind)
        end
    end
end

local function takes_out(name)
    return name == 'HDEL' or name == 'UNLINK' or string.sub(name, 1, 4) == 'ZREM'
end

local last = #ARGV

-- A right that the user has lost is missed before the first write and not in the midst: it is asked for, but for that of the first
-- command, before which nothing is written. A Redis before 7.0 cannot be asked.
local at = first_command
-- One that is alone asks for itself.
local is_one = ARGV[at] == 'ADDED_TO_OWN' or ARGV[at] == 'ACCOUNT' and not state
if redis.acl_check_cmd and at <= last and not is_one then
    local may, asked, has_taken_out = redis.acl_check_cmd, {}, false
    local function lacks(name, key, ...)
        local may_write = asked[name] or next(asked) == nil or may(name, key, ...)
        asked[name] = true
        return not may_write and name
    end
    local lacked = nil
    while not lacked and at <= last do
        local name = ARGV[at]
        if name == 'ACCOUNT' and state then
            lacked = lacks('LSET', account, 0, new) or lacks('LTRIM', account, 0, 0)
            break
        elseif name == 'ACCOUNT' or name == 'ADDED' or name == 'ADDED_TO_OWN' then
            lacked = name == 'ADDED' and lacks('LSET', account, 0, new) or lacks('LPUSH', account, new)
            break
        end
        local key, size = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
        if name == 'HSETPX' or name == 'ZADDPX' then
            lacked = lacks(string.sub(name, 1, 4), key, ARGV[at + 4], ARGV[at + 5])
                or (is_new[key] or has_taken_out) and lacks('PEXPIRE', key, ARGV[at + 3])
        else
            -- Each takes two words, or has no more.
            lacked = lacks(name, key, unpack(ARGV, at + 3, at + 2 + math.min(size, 2)))
            has_taken_out = has_taken_out or takes_out(name)
        end
        at = at + 3 + size
    end
    if lacked then
        return redis.error_reply('NOPERM the user may not ' .. lacked .. ' any more')
    end
end

at = first_command
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

local has_written = at > first_command
local function write(name, key, ...)
    local answer = redis.pcall(name, key, ...)
    if type(answer) ~= 'table' or not answer.err then
        has_written = true
        return nil
    end
    return has_written and redis.error_reply('TORN ' .. name .. ': ' .. answer.err) or answer
end
while at <= last do
    local name = ARGV[at]
    if name == 'ACCOUNT' or name == 'ADDED' or name == 'ADDED_TO_OWN' then
        local text, refused = new .. queue .. ARGV[last], nil
        if name == 'ADDED' then
            refused = write('LSET', account, 0, version .. '-' .. string.sub(state, contents))
            if refused then
                return refused
            end
        end
        if state and name == 'ACCOUNT' then
            -- In this order: what stands behind a snapshot counts for nobody.
            refused = write('LSET', account, 0, text) or write('LTRIM', account, 0, 0)
        else
            refused = write('LPUSH', account, text)
        end
        return refused or done()
    end
    local key, size, refused = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2]), nil
    if name == 'HSETPX' or name == 'ZADDPX' then
        refused = write(string.sub(name, 1, 4), key, unpack(ARGV, at + 4, at + 2 + size))
        if not refused and is_new[key] then
            refused = write('PEXPIRE', key, ARGV[at + 3])
        end
    else
        refused = write(name, key, unpack(ARGV, at + 3, at + 2 + size))
        -- It may have taken out the last: then what comes next makes the key anew.
        is_new[key] = is_new[key] or takes_out(name)
    end
    if refused then
        return refused
    end
    at = at + 3 + size
end
return 1
