/**
 * The scripts that run in Redis. Each is one step: no other command runs between two of its commands. One call may be for several
 * topics: what is refused for one of them does not concern the others.
 *
 * @module
 */

/** A script: its text, in Lua. */
export type RedisScript = string;

/** The time for which the position of a topic is remembered after its last message, in seconds. */
const META_TTL = 30 * 24 * 3600;

/**
 * Finds the epoch of a topic, or begins a new one: if the topic has none, because it is new or Redis was emptied; or if it was
 * written during another run of the server, which may have lost its last messages. `run` is empty where that is ruled out.
 */
const EPOCH = `
local function epochOf(meta, stream, fresh, run)
  local held = redis.call('HMGET', meta, 'e', 'r', 's')
  local last = tonumber(held[3] or '')
  if held[1] and last and (run == '' or held[2] == run) then return held[1], last end
  redis.call('HSET', meta, 'e', fresh, 'r', run, 's', 0) -- first: without memory, this is refused
  redis.call('DEL', stream)
  redis.call('EXPIRE', meta, ${META_TTL})
  return fresh, 0
end
`;

/** Calls a function for a topic. Returns what it returns or, if it fails, the text of the error. */
const ATTEMPT = `
local function attempt(work, ...)
  local isDone, result = pcall(work, ...)
  if isDone then return result end
  return type(result) == 'table' and result.err or tostring(result)
end
`;

/**
 * Appends messages to topics, and sends them. Keys: meta and stream of each topic, then those of the ids. Values: a fresh epoch, the
 * run, the seconds for which ids are remembered, the number of topics; then for each topic the number of messages and seconds that
 * are kept, the channel, the lengths of the envelopes, and the envelopes. Behind the length of a message with an id comes `@` with
 * the number of its key.
 *
 * Replies for each topic the epoch, and a number for each message: its offset; minus its offset, if the id was known; or else the
 * text of the error. If all of a topic is refused, the text stands for all. What is refused is not stored: a message comes first, and is
 * counted only when it is there. It is stored, and will be found, also where the channel is forbidden.
 */
export const APPEND: RedisScript = `${EPOCH}${ATTEMPT}
local function append(meta, stream, at)
  local epoch, last = epochOf(meta, stream, ARGV[1], ARGV[2])
  local first, from = last + 1, 1
  local reply, lengths, envelopes = {epoch}, {}, {}
  for length, id in string.gmatch(ARGV[at + 3], '(%d+)@?(%d*)') do
    local key, known, failure = KEYS[tonumber(id)]
    if key then
      local held = redis.pcall('HMGET', key, 's', 'e')
      failure = held.err
      if held[1] and held[2] == epoch then known = -tonumber(held[1]) end
    end
    if not known and not failure then
      local text = string.format('%.0f', last + 1)
      local envelope = string.sub(ARGV[at + 4], from, from + length - 1)
      local added = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[at], text .. '-0', 'd', envelope)
      if type(added) == 'table' then
        failure = added.err
      else
        last = last + 1
        lengths[#lengths + 1], envelopes[#envelopes + 1] = length, envelope
        if key then
          redis.pcall('HSET', key, 's', text, 'e', epoch)
          redis.pcall('EXPIRE', key, ARGV[3])
        end
      end
    end
    reply[#reply + 1] = failure or known or last
    from = from + length
  end
  if last >= first then
    redis.call('HSET', meta, 's', string.format('%.0f', last))
    redis.call('EXPIRE', meta, ${META_TTL})
    redis.call('EXPIRE', stream, ARGV[at + 1])
    local head = string.format('%.0f:%s:', first, epoch)
    if #lengths > 1 then head = head .. table.concat(lengths, ',') .. ':' end
    redis.pcall('PUBLISH', ARGV[at + 2], head .. table.concat(envelopes))
  end
  return reply
end
local replies = {}
for topic = 1, tonumber(ARGV[4]) do replies[topic] = attempt(append, KEYS[2 * topic - 1], KEYS[2 * topic], 5 * topic) end
return replies
`;

/**
 * Returns the positions of topics. Keys: meta and stream of each. Values: a fresh epoch, the run. Replies for each the offset and the
 * epoch, or the text of an error.
 */
export const POSITIONS: RedisScript = `${EPOCH}${ATTEMPT}
local function position(meta, stream)
  local epoch, offset = epochOf(meta, stream, ARGV[1], ARGV[2])
  return {offset, epoch}
end
local replies = {}
for topic = 1, #KEYS / 2 do replies[topic] = attempt(position, KEYS[2 * topic - 1], KEYS[2 * topic]) end
return replies
`;

/** The bytes of messages in a reply from which on no more are added: a reply has to arrive in time. */
const PAGE_BYTES = 1024 * 1024;

/**
 * Reads the history of a topic. Keys: meta, stream. Values: a fresh epoch, the run, the offset before the first message, how many
 * to read at most, the number of messages that are kept: there may be some more, because it is faster to trim many at once. Replies
 * the offset, the epoch, and the messages as XRANGE does: fewer if they are large, but at least one.
 */
export const READ: RedisScript = `${EPOCH}
local epoch, offset = epochOf(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local entries, bytes, count = {}, 0, 1
local from = string.format('%.0f-0', math.max(tonumber(ARGV[3]), offset - tonumber(ARGV[5])) + 1)
local left = tonumber(ARGV[4])
while left > 0 and bytes < ${PAGE_BYTES} do
  count = math.min(count, left)
  local part = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  for _, entry in ipairs(part) do
    entries[#entries + 1] = entry
    bytes = bytes + #entry[2][2]
    from = '(' .. entry[1]
  end
  if #part < count then break end
  left = left - count
  count = math.min(2 * count, 64)
end
return {offset, epoch, entries}
`;
