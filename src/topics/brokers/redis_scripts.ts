/**
 * The scripts that run in Redis. Each is one step: nobody sees a topic between two of its commands.
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
  if held[1] and (run == '' or held[2] == run) then return held[1], tonumber(held[3]) end
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'e', fresh, 'r', run, 's', 0)
  redis.call('EXPIRE', meta, ${30 * 24 * 3600})
  return fresh, 0
end
`;

/**
 * Appends a message, and sends it. Keys: meta, stream, id (the same as meta if there is none). Values: a fresh epoch, the run, the
 * envelope, the number of messages and seconds that are kept, the channel, the seconds for which the id is remembered.
 *
 * Replies the offset, the epoch, and 1 if the id was known.
 */
export const APPEND: RedisScript = {
  keys: 3,
  text: `${EPOCH}
local epoch = epochOf(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local hasId = KEYS[3] ~= KEYS[1]
if hasId then
  local known = redis.call('HMGET', KEYS[3], 's', 'e')
  if known[1] and known[2] == epoch then return {tonumber(known[1]), epoch, 1} end
end
local offset = redis.call('HINCRBY', KEYS[1], 's', 1)
redis.call('EXPIRE', KEYS[1], ${30 * 24 * 3600})
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], string.format('%.0f-0', offset), 'd', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[6], string.format('%.0f', offset) .. ':' .. epoch .. ':' .. ARGV[3])
if hasId then
  redis.call('HSET', KEYS[3], 's', offset, 'e', epoch)
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

/**
 * Reads the history of a topic. Keys: meta, stream. Values: a fresh epoch, the run, the offset before the first message, how many
 * to read, the number of messages that are kept: there may be some more, because it is faster to trim many at once. Replies the
 * offset, the epoch, and the messages as XRANGE does.
 */
export const READ: RedisScript = {
  keys: 2,
  text: `${EPOCH}
local epoch, offset = epochOf(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local before = math.max(tonumber(ARGV[3]), offset - tonumber(ARGV[5]))
return {offset, epoch, redis.call('XRANGE', KEYS[2], string.format('%.0f-0', before + 1), '+', 'COUNT', ARGV[4])}
`,
};
