#include "storage/redis_scripts.h"

namespace mt {
namespace {

// A tenant's entries under `prefix`:
//   v:<namespace>  hash: key -> "<version>:<expiry in ms or nothing>:<value>"
//   k:<namespace>  sorted set of its keys, score 0: their byte order
//   expiry         sorted set by expiry: "<bytes>:<birth>:<length of namespace>:<namespace><key>"
//   usage          hash: t bytes of all that is stored, w the time up to which expiries are counted, d bytes of what is
//                  stored but expired by w, b births so far, n<namespace> "<birth>:<bytes>:<bytes of it in d>"
// used = t - d. Each expiry is counted once, when the time passes it, and swept later: no operation sums up what waits
// for the sweep. A namespace that is cleared is unlinked at once; what it leaves in `expiry` is known by its birth, and
// is swept, too. Without memory Redis refuses a script's first write unless it frees some: so the value goes first in a
// put, and the books are written last. Clocks of several writers differ: w goes back only by more than a minute.
constexpr std::string_view k_books = R"(
local usage, expiry = KEYS[1], KEYS[2]
local prefix, now = ARGV[1], tonumber(ARGV[2])
local book = redis.call('HMGET', usage, 't', 'd', 'w', 'b')
local total, dead = tonumber(book[1] or 0), tonumber(book[2] or 0)
local counted, births = tonumber(book[3] or 0), tonumber(book[4] or 0)
local spaces, changed = {}, false

local function text(number) return string.format('%.0f', number) end

local function space(ns)
  local s = spaces[ns]
  if not s then
    local row = redis.call('HGET', usage, 'n' .. ns)
    s = {birth = 0, bytes = 0, dead = 0}
    if row then
      local birth, bytes, gone = string.match(row, '^(%d+):(%d+):(%d+)$')
      s = {birth = tonumber(birth), bytes = tonumber(bytes), dead = tonumber(gone)}
    end
    spaces[ns] = s
  end
  return s
end

local function add(ns, bytes, at)
  local s = space(ns)
  if s.birth == 0 then
    births = births + 1
    s.birth = births
  end
  s.bytes, total, changed = s.bytes + bytes, total + bytes, true
  if at and at <= counted then s.dead, dead = s.dead + bytes, dead + bytes end
end

local function read_mark(mark)
  local bytes, birth, length, start = string.match(mark, '^(%d+):(%d+):(%d+):()')
  length = tonumber(length)
  local ns = string.sub(mark, start, start + length - 1)
  return tonumber(bytes), tonumber(birth), ns, string.sub(mark, start + length)
end

local function mark_of(ns, key, bytes)
  return text(bytes) .. ':' .. text(space(ns).birth) .. ':' .. #ns .. ':' .. ns .. key
end

local function read_value(ns, key, packed)
  local version, at, start = string.match(packed, '^(%d+):(%d*):()')
  return {version = tonumber(version), at = tonumber(at), bytes = #ns + #key + #packed - start + 1}
end

local function is_live(entry) return not entry.at or entry.at > now end

local function forget(ns, key, entry)
  if entry.at then redis.call('ZREM', expiry, mark_of(ns, key, entry.bytes)) end
  add(ns, -entry.bytes, entry.at)
end

local function count_expired()
  local from = '(' .. text(counted)
  if now < counted - 60000 then
    local rows = redis.call('HKEYS', usage)
    for i = 1, #rows do
      if string.sub(rows[i], 1, 1) == 'n' then space(string.sub(rows[i], 2)).dead = 0 end
    end
    dead, from = 0, '-inf'
  elseif now <= counted then
    return
  end
  counted, changed = now, changed or total > 0
  local marks = redis.call('ZRANGEBYSCORE', expiry, from, text(now))
  for i = 1, #marks do
    local bytes, birth, ns = read_mark(marks[i])
    local s = space(ns)
    if s.birth == birth then s.dead, dead = s.dead + bytes, dead + bytes end
  end
end

local function sweep()
  local marks = redis.call('ZRANGEBYSCORE', expiry, '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, 256)
  for i = 1, #marks, 2 do
    local bytes, birth, ns, key = read_mark(marks[i])
    redis.call('ZREM', expiry, marks[i])
    if space(ns).birth == birth then
      redis.call('HDEL', prefix .. 'v:' .. ns, key)
      redis.call('ZREM', prefix .. 'k:' .. ns, key)
      add(ns, -bytes, tonumber(marks[i + 1]))
    end
  end
end

local function close_books()
  if not changed then return end
  if total == 0 then
    redis.call('UNLINK', usage, expiry)
    return
  end
  redis.pcall('HSET', usage, 't', text(total), 'd', text(dead), 'w', text(counted), 'b', text(births))
  for ns, s in pairs(spaces) do
    if s.bytes > 0 then
      local row = text(s.birth) .. ':' .. text(s.bytes) .. ':' .. text(s.dead)
      redis.pcall('HSET', usage, 'n' .. ns, row)
    elseif s.birth > 0 then
      redis.call('HDEL', usage, 'n' .. ns)
    end
  end
end

count_expired()
)";

constexpr std::string_view k_put = R"(
local order, values = KEYS[3], KEYS[4]
local ns, key, value, at, wanted = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
sweep()
local packed = redis.call('HGET', values, key)
local old = packed and read_value(ns, key, packed)
local live = old and is_live(old)
local version, old_bytes = live and old.version or 0, live and old.bytes or 0
if wanted and wanted ~= version then
  close_books()
  return {1, version}
end
local bytes = #ns + #key + #value
if bytes > old_bytes and total - dead - old_bytes + bytes > tonumber(ARGV[8]) then
  close_books()
  return {2, old_bytes, total - dead}
end
redis.call('HSET', values, key, text(version + 1) .. ':' .. (at and text(at) or '') .. ':' .. value)
redis.call('ZADD', order, 0, key)
if old then forget(ns, key, old) end
add(ns, bytes, at)
if at then redis.call('ZADD', expiry, text(at), mark_of(ns, key, bytes)) end
close_books()
return {0, version + 1}
)";

constexpr std::string_view k_erase = R"(
local order, values = KEYS[3], KEYS[4]
local ns, key = ARGV[3], ARGV[4]
local packed = redis.call('HGET', values, key)
local live = 0
if packed then
  redis.call('HDEL', values, key)
  redis.call('ZREM', order, key)
  local old = read_value(ns, key, packed)
  live = is_live(old) and 1 or 0
  forget(ns, key, old)
end
sweep()
close_books()
return live
)";

constexpr std::string_view k_clear = R"(
redis.call('UNLINK', KEYS[3], KEYS[4])
local s = space(ARGV[3])
total, dead = total - s.bytes, dead - s.dead
s.bytes, s.dead, changed = 0, 0, true
close_books()
return 0
)";

constexpr std::string_view k_used = R"(
close_books()
return total - dead
)";

// Reads alone. A call looks at no more than a thousand keys and some megabytes, however many of them have expired.
constexpr std::string_view k_list = R"(
local order, values, now = KEYS[3], KEYS[4], tonumber(ARGV[2])
local most = tonumber(ARGV[5])
local looked = 1000
local keys = redis.call('ZRANGEBYLEX', order, ARGV[3], ARGV[4], 'LIMIT', 0, looked)
local page, bytes = {''}, 0
for i = 1, #keys do
  local packed = redis.call('HGET', values, keys[i])
  local at = packed and tonumber(string.match(packed, '^%d+:(%d*):'))
  if packed and (not at or at > now) then
    page[#page + 1] = keys[i]
    page[#page + 1] = packed
    bytes = bytes + #packed
  end
  if #page > 2 * most or bytes > 4194304 or i == looked then
    page[1] = keys[i]
    break
  end
end
return page
)";

// Reads alone. Looks at no more keys than a page has, whether or not they have expired, and at one more that tells
// whether this is the end.
constexpr std::string_view k_list_back = R"(
local order, values, now = KEYS[3], KEYS[4], tonumber(ARGV[2])
local most, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local keys = redis.call('ZREVRANGEBYLEX', order, ARGV[4], '-', 'LIMIT', 0, most + 1)
local page, bytes = {''}, 0
for i = 1, #keys do
  if i > most or bytes >= most_bytes then
    page[1] = keys[i - 1]
    break
  end
  local packed = redis.call('HGET', values, keys[i])
  local at, start = string.match(packed or '', '^%d+:(%d*):()')
  at = tonumber(at)
  if packed and (not at or at > now) then
    page[#page + 1] = keys[i]
    page[#page + 1] = packed
    bytes = bytes + #ARGV[3] + #keys[i] + #packed - start + 1
  end
end
return page
)";

std::string with_books(std::string_view operation) {
    return std::string(k_books) + std::string(operation);
}

}  // namespace

const RedisScripts& RedisScripts::all() {
    static const RedisScripts k_scripts;
    return k_scripts;
}

RedisScripts::RedisScripts()
    : m_put_source(with_books(k_put)),
      m_erase_source(with_books(k_erase)),
      m_clear_source(with_books(k_clear)),
      m_used_source(with_books(k_used)),
      m_put(m_put_source),
      m_erase(m_erase_source),
      m_clear(m_clear_source),
      m_used(m_used_source),
      m_list(k_list),
      m_list_back(k_list_back) {}

}  // namespace mt
