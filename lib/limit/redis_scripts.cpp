#include "limit/redis_scripts.h"

#include <string>
#include <string_view>

namespace mt::limit_scripts {
namespace {

// `now`, and a bucket: TAT (never before now), refunds, what is open, and the tail of epoch and scale. Damage beyond
// `most` from now is cut off, and another scale converted, up to one capacity; either is stored, so that time heals it.
constexpr std::string_view k_buckets = R"lua(
local sub, format, floor, ceil = string.sub, string.format, math.floor, math.ceil
local time = redis.call('TIME')
local now = (time[1] - 1735689600) * 1000000 + time[2]
local function store(key, tat, refunded, open, tail)
  local value = format('%016.0f%016.0f%016.0f', tat, refunded, open) .. tail
  redis.call('SET', key, value, 'PX', ceil((tat - now) / 1000) + 1)
end
local function load(key, scale, capacity, most)
  local value = redis.call('GET', key)
  if not value then
    return now, 0, 0, format('%016.0f', now) .. scale
  end
  local tat = tonumber(sub(value, 1, 16)) or now
  if sub(value, 65) == scale then
    local refunded, open = tonumber(sub(value, 17, 32)) or 0, tonumber(sub(value, 33, 48)) or 0
    local tail = sub(value, 49)
    if tat <= now then
      tat = now
    elseif tat > now + most then
      tat = now + most
      store(key, tat, refunded, open, tail)
    end
    return tat, refunded, open, tail
  end
  local before = tonumber(sub(value, 65)) or 0
  local tail = format('%016.0f', now) .. scale
  if tat <= now or not (before > 0) then
    return now, 0, 0, tail
  end
  tat = now + math.min(capacity, ceil((tat - now) * (scale / before)))
  store(key, tat, 0, 0, tail)
  return tat, 0, 0, tail
end
)lua";

constexpr std::string_view k_leases = R"lua(
local function begin_lease(name, length)
  if redis.call('ZADD', KEYS[3], format('%.0f', now + length), name) == 1 then
    local tokens = tonumber(string.match(name, ':(%d+)$'))
    if tokens and tokens > 0 then
      redis.call('ZINCRBY', KEYS[3], -tokens, 'reserved')
    end
  end
end
local function end_lease(name)
  if redis.call('ZREM', KEYS[3], name) == 1 then
    local tokens = tonumber(string.match(name, ':(%d+)$'))
    if tokens and tokens > 0 then
      redis.call('ZINCRBY', KEYS[3], tokens, 'reserved')
    end
  end
end
local function keep_leases(length)
  redis.call('PEXPIRE', KEYS[3], ceil(length / 1000) + 1000)
end
)lua";

// A writer's use only grows within a period, and periods only follow each other: what is less was overtaken.
constexpr std::string_view k_budget = R"lua(
local function note_use(writer, own, stored)
  local newer = not stored or sub(own, 1, 8) > sub(stored, 1, 8)
  if newer or (sub(own, 1, 8) == sub(stored, 1, 8) and tonumber(sub(own, 9)) > (tonumber(sub(stored, 9)) or 0)) then
    redis.call('HSET', KEYS[4], writer, own)
    redis.call('PEXPIRE', KEYS[4], 2764800000)
    return own
  end
  return stored
end
)lua";

constexpr std::string_view k_admit_requests = R"lua(
local sub, format = string.sub, string.format
local time = redis.call('TIME')
local now = (time[1] - 1735689600) * 1000000 + time[2]
local capacity, scale = ARGV[2] + 0, ARGV[3]
local value = redis.call('GET', KEYS[1])
local tat, rest = now, nil
if value then
  tat = tonumber(sub(value, 1, 16)) or now
  local damaged = tat > now + capacity
  if sub(value, 65) == scale then
    rest = sub(value, 17)
    if damaged then
      tat = now + capacity
    end
  elseif tat > now then
    local before = tonumber(sub(value, 65)) or 0
    damaged = true
    tat = before > 0 and now + math.min(capacity, math.ceil((tat - now) * (scale / before))) or now
  end
  if damaged then
    rest = rest or format('%032d%016.0f', 0, now) .. scale
    redis.call('SET', KEYS[1], format('%016.0f', tat) .. rest, 'PX', math.ceil((tat - now) / 1000) + 1)
  end
  if tat < now then
    tat = now
  end
end
local used = tat - now + ARGV[1]
if used > capacity then
  return {now, tat}
end
rest = rest or format('%032d%016.0f', 0, now) .. scale
tat = now + used
redis.call('SET', KEYS[1], format('%016.0f', tat) .. rest, 'PX', math.ceil(used / 1000) + 1)
return {now, tat, rest}
)lua";

constexpr std::string_view k_admit_all = R"lua(
local capacity, most, least, rate = ARGV[2] + 0, ARGV[4] + 0, ARGV[5] + 0, ARGV[8] + 0
local calls, budget = ARGV[10] + 0, ARGV[13] + 0
local minute = 60000000
local granted, allowed = most, true

local tat, refunded, open, tail = load(KEYS[1], ARGV[3], capacity, capacity)
local taken = tat + ARGV[1]
allowed = taken - now <= capacity

local token_tat, token_refunded, token_open, token_tail, free = now, 0, 0, '', 0
if rate > 0 then
  token_tat, token_refunded, token_open, token_tail = load(KEYS[2], ARGV[9], minute, 2 * minute)
  free = minute - (token_tat - now)
  if most > 0 and ARGV[6] + 0 > free then
    if ARGV[7] + 0 > free then
      allowed = false
    else
      granted = free * rate / minute
      if rate > 150000000 then  -- the product is not exact
        granted = granted * (1 - 2 ^ -50)
      end
      granted = math.max(least, math.min(most, floor(granted)))
    end
  end
end

local leased = calls > 0 or budget > 0
if leased then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(0', now)) do
    end_lease(name)
  end
end

local used, reserved = 0, 0
if budget > 0 then
  local start = floor(now / 86400000000) + 20089  -- days since 1970
  if ARGV[14] == 'm' then  -- back to the first of the month, in years that begin with March
    local of_era = (start + 719468) % 146097
    local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
    local month = floor((5 * of_year + 2) / 153)
    start = start - (of_year - floor((153 * month + 2) / 5))
  end
  local fields, own = redis.call('HGETALL', KEYS[4]), nil
  for i = 1, #fields, 2 do
    if fields[i] == ARGV[15] then
      own = fields[i + 1]
    else
      local day = tonumber(sub(fields[i + 1], 1, 8))
      if day and day >= start then
        used = used + (tonumber(sub(fields[i + 1], 9)) or 0)
      else
        redis.call('HDEL', KEYS[4], fields[i])
      end
    end
  end
  if ARGV[16] ~= '' then
    own = note_use(ARGV[15], ARGV[16], own)
  end
  if own and (tonumber(sub(own, 1, 8)) or 0) >= start then
    used = used + (tonumber(sub(own, 9)) or 0)
  end
  reserved = -(tonumber(redis.call('ZSCORE', KEYS[3], 'reserved') or 0))
  local unused = budget - used
  if unused <= 0 or least > unused or (least > 0 and least > unused - reserved) then
    allowed = false
  elseif granted > unused - reserved then
    granted = math.max(least, unused - reserved)
  end
end

local stamp = format('%016.0f%016.0f', refunded, open) .. sub(tail, 1, 16)
local token_stamp = ''
if rate > 0 then
  token_stamp = format('%016.0f%016.0f', token_refunded, token_open) .. sub(token_tail, 1, 16)
end
if not allowed then
  return {1, now, tat, stamp, token_tat, token_stamp, 0, 0, used, reserved}
end
if calls > 0 and redis.call('ZCOUNT', KEYS[3], '(0', '+inf') >= calls then
  return {2, now, tat, stamp, token_tat, token_stamp, 0, 0, used, reserved}
end

store(KEYS[1], taken, refunded, open, tail)
local charged = 0
if rate > 0 and granted > 0 then
  if granted == most then
    charged = ARGV[6] + 0
  elseif granted == least then
    charged = ARGV[7] + 0
  else
    charged = math.min(free, ceil(granted * minute / rate))
  end
  token_tat = token_tat + charged
  store(KEYS[2], token_tat, token_refunded, token_open + charged, token_tail)
end
if leased then
  local tokens = budget > 0 and granted or 0
  begin_lease(ARGV[12] .. format(':%.0f', tokens), ARGV[11])
  keep_leases(ARGV[11])
  reserved = reserved + tokens
end
return {0, now, taken, stamp, token_tat, token_stamp, granted, charged, used, reserved}
)lua";

constexpr std::string_view k_settle = R"lua(
local function give_back(key, mark, stamp, refund, before, charged)
  local value = redis.call('GET', key)
  if not value or sub(value, 49, 64) ~= sub(stamp, 33, 48) then
    return
  end
  local tat, refunded, open = tonumber(sub(value, 1, 16)), tonumber(sub(value, 17, 32)), tonumber(sub(value, 33, 48))
  if not tat or not refunded or not open then
    return
  end
  mark = math.min(mark - math.min(refunded - sub(stamp, 1, 16), before), tat)
  local given = math.max(0, math.min(refund, mark - now))
  value = format('%016.0f%016.0f%016.0f', tat - given, refunded + given, math.max(0, open - charged)) .. sub(value, 49)
  redis.call('SET', key, value, 'KEEPTTL')
end
if ARGV[3] + 0 > 0 then
  give_back(KEYS[1], ARGV[1] + 0, ARGV[2], ARGV[3] + 0, ARGV[4] + 0, 0)
end
if ARGV[9] + 0 > 0 then
  local before = math.min(ARGV[8] + 0, tonumber(sub(ARGV[6], 17, 32)) or 0)
  give_back(KEYS[2], ARGV[5] + 0, ARGV[6], ARGV[7] + 0, before, ARGV[9] + 0)
end
if ARGV[10] + 0 > 0 then
  local minute = 60000000
  local tat, refunded, open, tail = load(KEYS[2], ARGV[11], minute, 2 * minute)
  store(KEYS[2], math.min(tat + ARGV[10], now + 2 * minute), refunded, open, tail)
end
if ARGV[13] ~= '' then
  begin_lease(ARGV[13], ARGV[14])
  keep_leases(ARGV[14])
end
if ARGV[12] ~= '' then
  end_lease(ARGV[12])
end
if ARGV[16] ~= '' then
  note_use(ARGV[15], ARGV[16], redis.call('HGET', KEYS[4], ARGV[15]))
end
return 1
)lua";

constexpr std::string_view k_upkeep = R"lua(
local function charge(key, known, cost, scale, capacity, most)
  local tat, refunded, open, tail = load(key, scale, capacity, most)
  local least = math.min(math.max(tat, known), now + capacity)
  local charged = math.max(tat, math.min(least + cost, now + capacity))
  if charged > tat then
    store(key, charged, refunded, open, tail)
  end
end
if ARGV[1] + ARGV[2] > 0 then
  charge(KEYS[1], ARGV[1] + 0, ARGV[2] + 0, ARGV[4], ARGV[3] + 0, ARGV[3] + 0)
end
if ARGV[5] + ARGV[6] > 0 then
  charge(KEYS[2], ARGV[5] + 0, ARGV[6] + 0, ARGV[7], 60000000, 120000000)
end
if ARGV[10] ~= '' then
  note_use(ARGV[9], ARGV[10], redis.call('HGET', KEYS[4], ARGV[9]))
end
for i = 11, #ARGV do
  begin_lease(ARGV[i], ARGV[8])
end
if #ARGV > 10 then
  keep_leases(ARGV[8])
end
return 1
)lua";

constexpr std::string_view k_heartbeat = R"lua(
local time = redis.call('TIME')
local now = (time[1] - 1735689600) * 1000000 + time[2]
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ARGV[3] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000) + 1000)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.0f', now + ARGV[2]), '+inf')
return {now, redis.call('ZCARD', KEYS[1]), known and 1 or 0}
)lua";

std::string joined(std::string_view script) {
    std::string source(k_buckets);
    source += k_leases;
    source += k_budget;
    source += script;
    return source;
}

}  // namespace

const redis::Script& admit_requests() {
    static const redis::Script k_script(k_admit_requests);
    return k_script;
}

const redis::Script& admit_all() {
    static const std::string k_source = joined(k_admit_all);
    static const redis::Script k_script(k_source);
    return k_script;
}

const redis::Script& settle() {
    static const std::string k_source = joined(k_settle);
    static const redis::Script k_script(k_source);
    return k_script;
}

const redis::Script& upkeep() {
    static const std::string k_source = joined(k_upkeep);
    static const redis::Script k_script(k_source);
    return k_script;
}

const redis::Script& heartbeat() {
    static const redis::Script k_script(k_heartbeat);
    return k_script;
}

}  // namespace mt::limit_scripts
