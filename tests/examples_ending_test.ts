// Every example ends in order when its user presses Ctrl+C: soon, with 0, without a word and without a file left behind.

import { assert, assertEquals } from "@std/assert";
import { readdirSync } from "node:fs";
import net from "node:net";
import { networkInterfaces } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { type Example, startExample, THIS_RUNTIME } from "./browser/start_example.ts";
import { inFolder } from "./support/folder.ts";
import { inThisRuntime, Program } from "./support/program.ts";
import { closeFrame, handshake, RawClient } from "./support/raw_client.ts";

const names = readdirSync(new URL("../examples/", import.meta.url)).filter((name) => name.endsWith(".ts"));
const clients = names.filter((name) => name.startsWith("client_"));
const servers = names.filter((name) => !clients.includes(name) && name !== "environment.ts");

/** How long an example may take to end, in seconds: less than `max_wait_time`, after which something is cut off. */
const PROMPTLY = 3;

/** Starts an example with a temporary directory of its own, which has to be empty after the example has ended. */
function ending(name: string, work: (example: Example, folder: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const example = await startExample(name, 0, THIS_RUNTIME, { TMPDIR: folder });
    try {
      await work(example, folder);
    } finally {
      await example.kill();
    }
    assertEquals(readdirSync(folder), [], "files were left");
  });
}

/** Interrupts an example, which has to end in order and soon. */
async function interrupt(example: Example): Promise<void> {
  const begun = performance.now();
  example.interrupt();
  const { code, err } = await example.ended;
  const errors = err.split("\n").filter((line) => !/ Refused a (request|handshake) /.test(line)); // of those that have WebSockets only
  assertEquals({ code, errors }, { code: 0, errors: [""] });
  const seconds = (performance.now() - begun) / 1000;
  assert(seconds < PROMPTLY, `it took ${seconds} s`);
}

/** A visitor of an example: resolves when it has been there; the promise that it returns, when the example has let it go. */
type Visit = (port: number) => Promise<() => Promise<void>>;

const visit = (work: (client: RawClient) => void | Promise<unknown>): Visit => async (port) => {
  const client = await RawClient.connect(port);
  await work(client);
  return async () => {
    await client.whenEnded();
    client.destroy();
  };
};

/** Opens a WebSocket at a path, if the example has one there, and answers the Close frame that ends it. */
const visitWebSocket = (path: string): Visit => async (port) => {
  const client = await RawClient.connect(port);
  client.send(handshake(path));
  const isOpen = (await client.readHead()).startsWith("HTTP/1.1 101 ");
  return async () => {
    const codes: number[] = [];
    for (let frame = isOpen ? await client.readFrame() : null; frame !== null; frame = await client.readFrame()) {
      if (frame.opcode !== 8) continue;
      codes.push(frame.payload[0] * 256 + frame.payload[1]);
      client.send(closeFrame(1001));
    }
    assertEquals(codes, isOpen ? [1001] : []);
    client.destroy();
  };
};

const silent = visit(() => {});
const inTheMiddle = visit((client) => client.send("GET / HTTP/1.1\r\nHost: loc"));
const kept = visit((client) => {
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return client.readAnswer();
});

for (const name of servers) {
  test(`${name} ends when its user presses Ctrl+C`, { timeout: 60_000 }, () => ending(name, interrupt));

  test(`${name} ends while it has clients`, { timeout: 60_000 }, () =>
    ending(name, async (example) => {
      const overHttp = name === "lines.ts" ? [] : [kept, visitWebSocket("/"), visitWebSocket("/websocket")];
      const leave = await Promise.all([silent, inTheMiddle, ...overHttp].map((visitor) => visitor(example.port)));
      await Promise.all([interrupt(example), ...leave.map((each) => each())]);
    }));
}

const events = visit((client) => {
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return client.readHead();
});

test(
  "files.ts ends while pages wait for its events, and removes the files",
  { timeout: 60_000 },
  () =>
    ending("files.ts", async (example) => {
      const body = new FormData();
      body.append("files[]", new File(["0123456789"], "digits.txt"));
      const response = await fetch(`http://127.0.0.1:${example.port}/upload`, { method: "POST", body });
      assertEquals(response.status, 200);
      await response.body?.cancel();
      const leave = await events(example.port);
      await Promise.all([interrupt(example), leave()]);
    }),
);

test(
  "files.ts cuts off an upload that does not arrive, and removes what has arrived",
  { timeout: 60_000 },
  () =>
    ending("files.ts", async (example, folder) => {
      const client = await RawClient.connect(example.port);
      client.send(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=border\r\nContent-Length: 1000000\r\n" +
          `\r\n--border\r\nContent-Disposition: form-data; name="files[]"; filename="x.txt"\r\n\r\n${"x".repeat(100_000)}`,
      );
      while (readdirSync(folder).length < 2) await new Promise((resolve) => setTimeout(resolve, 10)); // its directory, and this file
      example.interrupt();
      await client.whenEnded();
      client.destroy();
      const { code, err } = await example.ended;
      assertEquals(code, 130, err); // 128 and the number of the signal
    }),
);

test("a second Ctrl+C ends an example at once", { timeout: 60_000 }, () =>
  ending("echo.ts", async (example) => {
    const client = await RawClient.open(example.port);
    example.interrupt();
    assertEquals((await client.readFrame())?.opcode, 8); // it is not answered
    example.interrupt();
    assertEquals((await example.ended).code, 130);
    client.destroy();
  }));

for (const name of clients) {
  test(`${name} ends by Ctrl+C while it waits for its server`, { timeout: 60_000 }, async () => {
    const sockets: net.Socket[] = [];
    const server = net.createServer();
    const connected = new Promise<void>((resolve) =>
      server.on("connection", (socket) => {
        sockets.push(socket.on("error", () => {}));
        resolve();
      })
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const client = new Program(inThisRuntime(new URL(`../examples/${name}`, import.meta.url)), { PORT: String(port) });
    await connected;
    process.kill(client.process.pid!, "SIGINT");
    const code = await client.exited;
    assert(code === null || code === 130, `the exit code is ${code}`); // ended by the signal
    assertEquals(client.errors, "");
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

test("the chat prints the addresses at which other devices reach it", async () => {
  const example = await startExample("chat.ts");
  try {
    const addresses = Object.values(networkInterfaces()).flatMap((some) => some ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
    const printed = example.output.out.trimEnd().split("\n").slice(1);
    assertEquals(printed, addresses.map((address) => `  and for your phone at http://${address}:${example.port}/`));
    for (const host of addresses) {
      const origin = `http://${host}:${example.port}`;
      const client = await RawClient.open({ host, port: example.port }, "/", { Host: `${host}:${example.port}`, Origin: origin });
      client.destroy();
    }
  } finally {
    await example.kill();
  }
});
