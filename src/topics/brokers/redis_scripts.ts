/**
 * The scripts that run in Redis. Each is one step: no other command runs between two of its commands.
 *
 * @module
 */

/** A script. */
export interface RedisScript {
  /** Its text, in Lua. */
  readonly text: string;
  /** The number of its keys; the others of its arguments are values. */
  readonly keys: number;
}

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
  redis.call('EXPIRE', meta, ${30 * 24 * 3600})
  return fresh, 0
end
`;

/**
 * Appends a message, and sends it. Keys: meta, stream, id (the same as meta if there is none). Values: a fresh epoch, the run, the
 * envelope, the number of messages and seconds that are kept, the channel, the seconds for which the id is remembered.
 *
 * Replies the offset, the epoch, and 1 if the id was known. If something is refused, nothing is stored: the message comes first, and is
 * counted only when it is there. It is stored, and will be found, also where the channel is forbidden.
 */
export const APPEND: RedisScript = {
  keys: 3,
  text: `${EPOCH}
local epoch, last = epochOf(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local hasId = KEYS[3] ~= KEYS[1]
if hasId then
  local known = redis.call('HMGET', KEYS[3], 's', 'e')
  if known[1] and known[2] == epoch then return {tonumber(known[1]), epoch, 1} end
end
local offset = last + 1
local text = string.format('%.0f', offset)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], text .. '-0', 'd', ARGV[3])
redis.call('HSET', KEYS[1], 's', text)
redis.call('EXPIRE', KEYS[1], ${30 * 24 * 3600})
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.pcall('PUBLISH', ARGV[6], text .. ':' .. epoch .. ':' .. ARGV[3])
if hasId then
  redis.call('HSET', KEYS[3], 's', text, 'e', epoch)
  redis.call('EXPIRE', KEYS[3], ARGV[7])
end
return {offset, epoch, 0}
`,
};

/** Returns the position of a topic. Keys: meta, stream. Values: a fresh epoch, the run. Replies the offset and the epoch. */
export const POSITION: RedisScript = {
  keys: 2,
  text: `${EPOCH}
local epoch, offset = epochOf(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
return {offset, epoch}
`,
};

/** The bytes of messages in a reply from which on no more are added: a reply has to arrive in time. */
const PAGE_BYTES = 1024 * 1024;

/**
 * Reads the history of a topic. Keys: meta, stream. Values: a fresh epoch, the run, the offset before the first message, how many
 * to read at most, the number of messages that are kept: there may be some more, because it is faster to trim many at once. Replies
 * the offset, the epoch, and the messages as XRANGE does: fewer if they are large, but at least one.
 */
export const READ: RedisScript = {
  keys: 2,
  text: `${EPOCH}
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
`,
};
