// Checks the server at the given address with the WebSocket that this runtime has. Prints a line for each thing checked.

import process from "node:process";

const url = process.argv[2];

/** A WebSocket whose events can be waited for. */
class Client {
  readonly socket: WebSocket;
  readonly #events: Event[] = [];
  #wake = () => {};

  constructor(protocols: string[] = []) {
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    for (const type of ["open", "message", "error", "close"]) {
      this.socket.addEventListener(type, (event) => {
        this.#events.push(event);
        this.#wake();
      });
    }
  }

  async next(): Promise<Event> {
    while (this.#events.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#events.shift()!;
  }

  async open(): Promise<this> {
    const { type } = await this.next();
    expect(type, "open");
    return this;
  }

  async message(): Promise<string | ArrayBuffer> {
    const event = await this.next();
    expect(event.type, "message");
    return (event as MessageEvent).data;
  }

  async closed(): Promise<string> {
    const event = await this.next();
    expect(event.type, "close");
    const { code, reason, wasClean } = event as CloseEvent;
    return `${code} ${JSON.stringify(reason)} ${wasClean}`;
  }
}

function expect(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}

const done = (what: string) => console.log(what);
const sizes = [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024];

const client = await new Client().open();
expect(client.socket.protocol, "");
for (const text of ["hello", "ünïcödé 🎉 \u0000", ...sizes.map((size) => "x".repeat(size))]) {
  client.socket.send(text);
  expect(await client.message(), text);
}
done("text");

for (const size of sizes) {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
  client.socket.send(bytes);
  const echo = new Uint8Array(await client.message() as ArrayBuffer);
  expect(echo.length, size);
  expect(echo.every((byte, i) => byte === bytes[i]), true);
}
done("binary");

for (let i = 0; i < 1000; i++) client.socket.send(i % 2 ? `message ${i}` : new TextEncoder().encode(`message ${i}`));
for (let i = 0; i < 1000; i++) {
  const data = await client.message();
  expect(typeof data === "string", i % 2 === 1);
  expect(typeof data === "string" ? data : new TextDecoder().decode(data), `message ${i}`);
}
done("order");

client.socket.send("ping are-you-there");
expect(await client.message(), "pong are-you-there");
done("ping");

client.socket.close(4321, "bye für now");
expect(await client.closed(), '4321 "bye für now" true');
done("close by the client");

const plain = await new Client().open();
plain.socket.close();
expect(await plain.closed(), '1005 "" true');
done("close without a code");

const other = await new Client().open();
other.socket.send("disconnect 4001 that is enough");
expect(await other.closed(), '4001 "that is enough" true');
done("close by the server");

const dropped = await new Client().open();
dropped.socket.send("drop");
let last = await dropped.next();
if (last.type === "error") last = await dropped.next(); // some tell of an error first
const { code, wasClean } = last as CloseEvent;
expect(wasClean, false);
done(`end without a Close: ${code}`);

const chosen = await new Client(["echo.x", "echo.b", "echo.a"]).open();
expect(chosen.socket.protocol, "echo.b");
chosen.socket.close(1000);
expect(await chosen.closed(), '1000 "" true');
done("subprotocol");
