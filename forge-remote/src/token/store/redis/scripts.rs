//! The scripts that Redis runs, each atomically.

/// The beginning of every script that writes: a command that the server executes after its deadline
/// (milliseconds since 1970 by the server's clock, the last argument; 0 for none) has no effect.
/// Its caller has stopped waiting, and may have written a later record on another connection.
macro_rules! before_deadline {
    ($script:literal) => {
        concat!(
            "
    local deadline = tonumber(ARGV[#ARGV])
    if deadline > 0 then
        local time = redis.call('TIME')
        if time[1] * 1000 + math.floor(time[2] / 1000) > deadline then
            return redis.error_reply('LATE the command arrived after its deadline')
        end
    end
",
            $script
        )
    };
}

/// Compares and writes atomically: Redis runs one script at a time. A value of another type, or with an
/// invalid expiry, does not block the write.
///
/// Keys: the token's, the index by id, the index by end, the token's sites. Arguments: the id, the
/// expiry, the sites, the sealed bytes, the key's expiry, the maximum lead, the expected sealed bytes
/// (empty to replace any record with an earlier expiry).
pub(super) const PUT: &str = before_deadline!(
    "
    local function is(key, wanted)
        local type = redis.call('TYPE', key).ok
        if type ~= wanted and type ~= 'none' then redis.call('DEL', key) end
    end
    is(KEYS[1], 'hash')
    is(KEYS[2], 'zset')
    is(KEYS[3], 'zset')
    local ends = tonumber(ARGV[2])
    if ARGV[7] ~= '' then
        if redis.call('HGET', KEYS[1], 'sealed') ~= ARGV[7] then return 0 end
    else
        local kept = tonumber(redis.call('HGET', KEYS[1], 'expires_at') or '')
        if kept and kept > ends and kept <= ends + tonumber(ARGV[6]) then return 0 end
    end
    redis.call('HSET', KEYS[1], 'expires_at', ARGV[2], 'sites', ARGV[3], 'sealed', ARGV[4])
    redis.call('PEXPIREAT', KEYS[1], ARGV[5])
    redis.call('ZADD', KEYS[2], 0, ARGV[1])
    redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
    for at = 4, #KEYS do
        is(KEYS[at], 'set')
        redis.call('SADD', KEYS[at], ARGV[1])
        redis.call('PEXPIREAT', KEYS[at], ARGV[5], 'NX')
        redis.call('PEXPIREAT', KEYS[at], ARGV[5], 'GT')
    end
    return 1
"
);

/// Removes a token with these sealed bytes. The sets of sites expire automatically.
///
/// Keys: the token's, the index by id, the index by end. Arguments: the id, the sealed bytes.
pub(super) const REMOVE: &str = before_deadline!(
    "
    if redis.call('HGET', KEYS[1], 'sealed') ~= ARGV[2] then return 0 end
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('ZREM', KEYS[3], ARGV[1])
    return 1
"
);

/// Removes expired tokens and their index entries. A token that was renewed in the meantime has another
/// score in the index by end.
///
/// Keys: the index by id, the index by end. The tokens' keys share their slot.
pub(super) const PURGE: &str = before_deadline!(
    "
    local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1])
    for _, id in ipairs(ended) do
        redis.call('DEL', ARGV[2] .. id)
        redis.call('ZREM', KEYS[1], id)
        redis.call('ZREM', KEYS[2], id)
    end
    return #ended
"
);

/// Replaces this key check, or a missing one; returns the current one.
///
/// Keys: the key check.
pub(super) const SWAP: &str = "
    local current = redis.call('GET', KEYS[1])
    if not current or current == ARGV[2] then
        redis.call('SET', KEYS[1], ARGV[1])
        return ARGV[1]
    end
    return current
";
