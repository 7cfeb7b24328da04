// Ten messages of all kinds, and how a client exchanges them with a server of compressed_servers.ts. Browsers load this too.

/** The messages: strings are text. */
export const MESSAGES = tenMessages();

function tenMessages() {
  let state = 1;
  const random = () => (state = state * 48271 % 2147483647) & 255; // the same numbers in compressed_client.py
  const bytes = Uint8Array.from({ length: 5000 }, random);
  const words = Array.from({ length: 16 }, (_, i) => "aäbcödeüfghi€jklmnopqrstu".slice(i, i + 2 + i % 5));
  const entries = Array.from(
    { length: 256 },
    (_, i) => ({ id: i, name: `user ${i * 7 % 97}`, tags: ["ä", i % 3 === 0], x: null }),
  );
  let text = "";
  while (text.length < 177 * 1024) text += words[random() & 15] + " ";
  const json = JSON.stringify({ entries, more: words.join().repeat(40) });
  return [
    "",
    "x",
    "Hello, how are you?",
    "ünïcödé, 日本語, 🎉 \u0000, ".repeat(20),
    json,
    json,
    bytes,
    text,
    text.slice(-10_000), // sent in fragments where that is possible
    new Uint8Array(1024 * 1024),
  ];
}

/** Which of them is sent in fragments. */
export const FRAGMENTED = 8;

/** The message that is not compressed. */
export const PLAIN = "this one is plain";

/** A message as `count` fragments, which cut characters apart. */
export function fragments(message, count) {
  const bytes = typeof message === "string" ? new TextEncoder().encode(message) : message;
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** Fails unless a message is another, byte by byte. */
export function compare(actual, expected, what) {
  const bytes = typeof actual === "string" || actual instanceof Uint8Array ? actual : new Uint8Array(actual);
  const same = typeof bytes === "string" || typeof expected === "string"
    ? bytes === expected
    : bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
  if (!same) throw new Error(`${what}: ${typeof bytes} of ${bytes.length} instead of ${typeof expected} of ${expected.length}`);
}

/**
 * Hears the messages whole and in fragments, sends them, hears their echoes, and closes.
 *
 * @param socket A `WebSocket` that has not opened yet.
 * @param sendFragments Sends a text in fragments, where the client can.
 * @returns What was agreed, as the client knows it.
 */
export async function talk(socket, sendFragments = undefined) {
  socket.binaryType = "arraybuffer";
  const events = [];
  let wake = () => {};
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, (event) => {
      events.push(event);
      wake();
    });
  }
  const next = async (type) => {
    while (events.length === 0) await new Promise((resolve) => wake = resolve);
    const event = events.shift();
    if (event.type !== type) throw new Error(`${event.type} ${event.code} ${event.message} instead of ${type}`);
    return event;
  };
  await next("open");
  for (const order of ["whole", "fragments"]) {
    socket.send(order);
    for (const [i, message] of [...MESSAGES, PLAIN].entries()) {
      compare((await next("message")).data, message, `message ${i}, ${order}`);
    }
  }
  for (const [i, message] of MESSAGES.entries()) {
    if (i === FRAGMENTED && sendFragments !== undefined) sendFragments(fragments(message, 3));
    else socket.send(message);
  }
  for (const [i, message] of MESSAGES.entries()) compare((await next("message")).data, message, `echo ${i}`);
  socket.close(1000);
  const { code, wasClean } = await next("close");
  if (code !== 1000 || !wasClean) throw new Error(`closed with ${code}`);
  return socket.extensions;
}
