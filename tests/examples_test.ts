import { assert, assertEquals, assertFalse, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import type { ChatMessage, ClientMessage, ServerMessage } from "../examples/chat/protocol.ts";
import { runExample, startExample, THIS_RUNTIME } from "./browser/start_example.ts";
import { inFolder } from "./support/folder.ts";
import { closeFrame, frame, handshake, RawClient } from "./support/raw_client.ts";

/** Runs a test against an example. */
async function withExample(name: string, test: (port: number) => Promise<void>, env: Record<string, string> = {}): Promise<void> {
  const example = await startExample(name, 0, THIS_RUNTIME, env);
  try {
    await test(example.port);
  } finally {
    await example.kill();
  }
}

const withChat = (test: (port: number) => Promise<void>): Promise<void> => withExample("chat.ts", test);

type Received<Type extends ServerMessage["type"]> = Extract<ServerMessage, { type: Type }>;

let sessions = 0;

/** Somebody in the chat. */
class ChatClient {
  readonly raw: RawClient;
  readonly session: string;
  welcome!: Received<"welcome">;

  constructor(raw: RawClient, session = `session-of-test-${sessions++}`.padEnd(20, "-")) {
    this.raw = raw;
    this.session = session;
  }

  static async join(port: number, name: string, session?: string): Promise<ChatClient> {
    const client = new ChatClient(await RawClient.open(port), session);
    client.send({ type: "join", name, session: client.session });
    client.welcome = await client.next("welcome");
    return client;
  }

  send(message: ClientMessage): void {
    this.raw.send(frame({ opcode: 1, payload: JSON.stringify(message) }));
  }

  say(text: string, id: string = newId()): string {
    this.send({ type: "say", id, text });
    return id;
  }

  /** The next message. */
  async any(): Promise<ServerMessage> {
    const received = await this.raw.readFrame();
    assertEquals(received?.opcode, 1);
    return JSON.parse(new TextDecoder().decode(received!.payload));
  }

  /** The next message, which has to be of a certain type. */
  async next<Type extends ServerMessage["type"]>(type: Type): Promise<Received<Type>> {
    const message = await this.any();
    assertEquals(message.type, type, JSON.stringify(message));
    return message as Received<Type>;
  }

  /** The next message, which has to be something said. */
  async hears(): Promise<ChatMessage> {
    return (await this.next("said")).message;
  }

  /** The next frame has to be a Close frame with this code. */
  async isClosedWith(code: number): Promise<void> {
    let received = await this.raw.readFrame();
    while (received?.opcode === 1) received = await this.raw.readFrame();
    assertEquals(received?.opcode, 8);
    assertEquals(received!.payload[0] * 256 + received!.payload[1], code);
    this.raw.send(closeFrame(code));
    await this.raw.whenEnded();
    this.raw.end();
  }
}

let ids = 0;

function newId(): string {
  return `message-of-test-${ids++}`;
}

async function request(port: number, method: string, path: string): Promise<{ status: number; head: string; body: string }> {
  const client = await RawClient.connect(port);
  client.send(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  const [head, body] = new TextDecoder().decode(await client.readAll()).split("\r\n\r\n", 2);
  client.end();
  return { status: Number(head.slice(9, 12)), head, body };
}

function header(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1].trim();
}

// ---- the page -------------------------------------------------------------------------------------------------------

test("The chat serves its page, which needs nothing from elsewhere", async () => {
  await withChat(async (port) => {
    const { status, head, body } = await request(port, "GET", "/");
    assertEquals(status, 200);
    assertEquals(header(head, "Content-Type"), "text/html; charset=utf-8");
    assertEquals(header(head, "X-Content-Type-Options"), "nosniff");
    assertEquals(Number(header(head, "Content-Length")), new TextEncoder().encode(body).length);
    assert(body.startsWith("<!doctype html>") && body.endsWith("</html>\n"));
    assertFalse(/\ssrc=|@import|url\((?!#|%23)|<link(?! rel="icon" href="data:)/.test(body));

    // What the policy lets run and apply is exactly what is there.
    const policy = header(head, "Content-Security-Policy")!;
    assertStringIncludes(policy, "default-src 'none'");
    for (const [element, directive] of [["script", "script-src"], ["style", "style-src"]]) {
      const found = [...body.matchAll(new RegExp(`<${element}[^>]*>([\\s\\S]*?)</${element}>`, "g"))];
      assertEquals(found.length, 1);
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(found[0][1]));
      const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
      assertStringIncludes(policy, `${directive} 'sha256-${hash}'`);
    }
    assertFalse(/\son\w+=|\sstyle=/.test(body.replace(/<(script|style)>[\s\S]*?<\/\1>/g, "")));
  });
});

test("The chat answers HEAD like GET without the page, other paths with 404, other methods with 405", async () => {
  await withChat(async (port) => {
    const get = await request(port, "GET", "/?from=link");
    const head = await request(port, "HEAD", "/");
    assertEquals([get.status, head.status, head.body], [200, 200, ""]);
    for (const name of ["Content-Length", "Content-Type", "Content-Security-Policy"]) {
      assertEquals(header(head.head, name), header(get.head, name));
    }
    assertEquals((await request(port, "GET", "/favicon.ico")).status, 404);
    assertEquals((await request(port, "GET", "/%2e%2e/chat.ts")).status, 404);
    const post = await request(port, "POST", "/");
    assertEquals([post.status, header(post.head, "Allow")], [405, "GET, HEAD"]);
  });
});

test("The chat says in one line that its port is taken or is none", async () => {
  await withChat(async (port) => {
    const { code, out, err } = await runExample("chat.ts", String(port));
    assertNotEquals(code, 0);
    assertEquals(out, "");
    assertMatch(err, new RegExp(`^[^\n]*${port}[^\n]*in use[^\n]*\n$`));
  });
  const { code, err } = await runExample("chat.ts", "http");
  assertNotEquals(code, 0);
  assertEquals(err, "PORT is no port number: http\n");
});

// ---- the conversation -----------------------------------------------------------------------------------------------

test("The chat passes on who comes, speaks, types, is renamed and leaves", async () => {
  await withChat(async (port) => {
    const ada = await ChatClient.join(port, "Ada");
    assertEquals(ada.welcome.people, [ada.welcome.you]);
    assertEquals(ada.welcome.history, []);
    const grace = await ChatClient.join(port, "  Grace\u00a0  Hopper ");
    assertEquals(grace.welcome.you.name, "Grace Hopper");
    assertEquals(grace.welcome.people, [ada.welcome.you, grace.welcome.you]);
    assertEquals((await ada.next("joined")).person, grace.welcome.you);

    const text = "Tschüß 👩🏽‍🚀 שלום\r\n\tsecond line \u0007<b>";
    const before = Date.now();
    const id = ada.say(text);
    const heard = await grace.hears();
    assertEquals({ ...heard, at: 0 }, { id, at: 0, from: ada.welcome.you, text: "Tschüß 👩🏽‍🚀 שלום\n\tsecond line <b>" });
    assert(heard.at >= before && heard.at <= Date.now());
    assertEquals(await ada.hears(), heard);

    grace.send({ type: "typing" });
    assertEquals((await ada.next("typing")).person, grace.welcome.you);

    grace.send({ type: "rename", name: "Grace" });
    const renamed = await ada.next("renamed");
    assertEquals([renamed.was, renamed.person], ["Grace Hopper", { ...grace.welcome.you, name: "Grace" }]);
    assertEquals((await grace.next("renamed")).person.name, "Grace"); // and no typing of her own before it

    grace.raw.send(closeFrame(1001));
    assertEquals((await ada.next("left")).person.name, "Grace");
    const late = await ChatClient.join(port, "Late");
    assertEquals(late.welcome.history, [heard]);
    assertEquals(late.welcome.people.map(({ name }) => name), ["Ada", "Late"]);
    for (const { raw } of [ada, grace, late]) raw.destroy();
  });
});

test("The chat gives nobody a name that somebody has", async () => {
  await withChat(async (port) => {
    const longest = "\u{1f30a}".repeat(12); // 24 code units
    const clients: ChatClient[] = [];
    for (const name of ["Ada", "ada", "Ａｄａ", longest, longest, "Ada 2"]) clients.push(await ChatClient.join(port, name));
    assertEquals(
      clients.map(({ welcome }) => welcome.you.name),
      ["Ada", "ada 2", "Ａｄａ 3", longest, `${"\u{1f30a}".repeat(11)} 2`, "Ada 2 2"],
    );
    // A name that one has already is free for oneself.
    clients[5].send({ type: "rename", name: "ADA 2 2" });
    assertEquals((await clients[5].next("renamed")).person.name, "ADA 2 2");
    for (const { raw } of clients) raw.destroy();
  });
});

/** Sends payloads, each of which has to be answered with an error of this code. */
async function areRefused(client: ChatClient, code: string, payloads: readonly string[]): Promise<void> {
  for (const payload of payloads) {
    client.raw.send(frame({ opcode: 1, payload }));
    const error = await client.next("error");
    assertEquals(error.code, code, payload);
    assert(error.reason.length > 0);
  }
}

test("The chat answers nonsense with an error and goes on", async () => {
  await withChat(async (port) => {
    const client = await ChatClient.join(port, "Ada");
    await areRefused(client, "bad_message", [
      "",
      "hello",
      "null",
      "[]",
      "17",
      "{}",
      '{"type":"toString"}',
      '{"type":"__proto__"}',
      '{"type":["typing"]}',
      '{"type":"say"}',
      '{"type":"say","id":"message-of-test-x","text":1}',
      '{"type":"say","id":"message-of-test-x","text":"x","more":"y"}',
      '{"type":"say","id":"short","text":"x"}',
      `{"type":"say","id":"${"x".repeat(65)}","text":"x"}`,
      '{"type":"typing","text":"x"}',
      '{"type":"join","name":"Ada","session":"session-of-test-x"}', // a second time
    ]);
    client.raw.send(frame({ opcode: 2, payload: '{"type":"typing"}' }));
    assertEquals((await client.next("error")).code, "bad_message");
    client.say("still here");
    assertEquals((await client.hears()).text, "still here");
    client.raw.destroy();
  });
});

test("The chat listens to nobody who has not joined, and takes no name that cannot be read", async () => {
  await withChat(async (port) => {
    const client = new ChatClient(await RawClient.open(port));
    const { session } = client;
    await areRefused(client, "not_joined", [
      '{"type":"typing"}',
      '{"type":"rename","name":"Ada"}',
      '{"type":"say","id":"message-of-test-x","text":"x"}',
    ]);
    const names = ["", " ", "x".repeat(25), "a\nb", "a\u0000", "a\u202eb", "a\u2028b", "\ud83c"];
    await areRefused(client, "bad_name", names.map((name) => JSON.stringify({ type: "join", name, session })));
    await areRefused(client, "bad_message", ['{"type":"join","name":"Ada","session":"short"}']);
    client.send({ type: "join", name: "x".repeat(24), session });
    assertEquals((await client.next("welcome")).history, []);
    client.raw.destroy();
  });
});

test("The chat takes texts up to its limit and drops who sends far more", async () => {
  await withChat(async (port) => {
    const client = await ChatClient.join(port, "Ada");
    for (const text of ["", " \n\t ", "x".repeat(2001)]) {
      const id = client.say(text);
      const error = await client.next("error");
      assertEquals([error.code, error.id], ["bad_text", id]);
    }
    const longest = "\u{1f30a}".repeat(1000);
    client.say(longest);
    assertEquals((await client.hears()).text, longest);
    client.say("x".repeat(16 * 1024));
    await client.isClosedWith(1009);
  });
});

test("The chat slows down who is too fast, and hangs up on who does not listen", async () => {
  await withChat(async (port) => {
    const start = Date.now();
    const client = await ChatClient.join(port, "Ada");
    const say = (id: string) => frame({ opcode: 1, payload: JSON.stringify({ type: "say", id, text: id }) });
    const ids = Array.from({ length: 60 }, newId);
    client.raw.send(Buffer.concat(ids.map(say)));
    const passed: string[] = [];
    const refused: string[] = [];
    let retryAfter = 0;
    while (passed.length + refused.length < ids.length) {
      const answer = await client.any();
      if (answer.type === "said") {
        passed.push(answer.message.id);
      } else {
        assert(answer.type === "error" && answer.code === "too_fast" && answer.id !== undefined);
        refused.push(answer.id);
        retryAfter = answer.retryAfter!;
        assert(retryAfter > 0 && retryAfter <= 200, `${retryAfter}`);
      }
    }
    // 20 at once, of which joining was one, and 5 in each second since.
    assert(passed.length >= 19 && passed.length <= 20 + 5 * (Date.now() - start) / 1000, `${passed.length} passed`);
    assertEquals([...passed, ...refused].sort(), ids.sort());

    // Who waits as long as asked gets through.
    let answer: ServerMessage;
    do {
      await new Promise((resolve) => setTimeout(resolve, retryAfter));
      client.raw.send(say(refused[0]));
      answer = await client.any();
      if (answer.type === "error") retryAfter = answer.retryAfter!;
    } while (answer.type === "error");
    assert(answer.type === "said" && answer.message.id === refused[0]);

    for (let i = 0; i < 1000; i++) client.raw.send(say(newId()));
    await client.isClosedWith(1008);
  });
});

test("The chat remembers the last 200 messages for who comes in", async () => {
  await withChat(async (port) => {
    const listener = await ChatClient.join(port, "Listener");
    const texts: string[] = [];
    const speakers: ChatClient[] = [];
    while (texts.length < 215) {
      // Every speaker may say 19 things at once.
      const speaker = await ChatClient.join(port, "Speaker");
      speakers.push(speaker);
      await listener.next("joined");
      for (let i = 0; i < 19; i++) {
        texts.push(`number ${texts.length}`);
        speaker.say(texts.at(-1)!);
        assertEquals((await listener.hears()).text, texts.at(-1));
      }
    }
    const late = await ChatClient.join(port, "Late");
    assertEquals(late.welcome.history.map(({ text }) => text), texts.slice(-200));
    for (const { raw } of [listener, late, ...speakers]) raw.destroy();
  });
});

test("The chat takes a message that is sent again for the one that it is", async () => {
  await withChat(async (port) => {
    const ada = await ChatClient.join(port, "Ada");
    const grace = await ChatClient.join(port, "Grace");
    await ada.next("joined");
    const id = ada.say("once");
    ada.say("once", id);
    ada.say("next");
    assertEquals((await grace.hears()).text, "once");
    assertEquals((await grace.hears()).text, "next");
    // Who sends it again wants to know that it has arrived.
    const heard = [await ada.hears(), await ada.hears(), await ada.hears()];
    assertEquals(heard.map(({ text }) => text), ["once", "once", "next"]);
    assertEquals(heard[0], heard[1]);
    for (const { raw } of [ada, grace]) raw.destroy();
  });
});

test("The chat gives a place to the newest connection of a session", async () => {
  await withChat(async (port) => {
    const grace = await ChatClient.join(port, "Grace");
    const old = await ChatClient.join(port, "Ada");
    await grace.next("joined");
    const ada = await ChatClient.join(port, "Ada", old.session);
    assertEquals(ada.welcome.you, old.welcome.you);
    assertEquals(ada.welcome.people.length, 2);
    await old.isClosedWith(4000);
    ada.say("here again");
    assertEquals((await grace.hears()).from, old.welcome.you); // nobody left or joined
    for (const { raw } of [ada, grace]) raw.destroy();
  });
});

test("The chat keeps a place for a while, but not the name", async () => {
  await withChat(async (port) => {
    const grace = await ChatClient.join(port, "Grace");
    const [ada, bob] = [await ChatClient.join(port, "Ada"), await ChatClient.join(port, "Bob")];
    for (let i = 0; i < 2; i++) await grace.next("joined");
    for (const { raw } of [ada, bob]) {
      raw.send(closeFrame(1001));
      await raw.whenEnded();
      raw.end();
    }
    const back = await ChatClient.join(port, "Ada", ada.session);
    assertEquals(back.welcome.you, ada.welcome.you);
    assertEquals(back.welcome.people.length, 3);
    const other = await ChatClient.join(port, "Bob");
    assertEquals((await grace.next("joined")).person, other.welcome.you);
    assertEquals(other.welcome.you.name, "Bob");
    assertEquals((await grace.next("left")).person, bob.welcome.you); // whose connection went after that of Ada
    for (const { raw } of [grace, back, other]) raw.destroy();
  });
});

test("The chat is closed to the pages of others", async () => {
  await withChat(async (port) => {
    const client = await RawClient.connect(port);
    client.send(handshake("/", { Host: `localhost:${port}`, Origin: "https://elsewhere.example" }));
    assertMatch(await client.readHead(), /^HTTP\/1\.1 403 /);
    client.destroy();
    (await RawClient.open(port, "/", { Host: `localhost:${port}`, Origin: `http://localhost:${port}` })).destroy();
  });
});

// ---- the other examples ---------------------------------------------------------------------------------------------

test("The echo sends back what it gets", async () => {
  await withExample("echo.ts", async (port) => {
    const client = await RawClient.open(port);
    client.send(frame({ opcode: 1, payload: "Grüße" }));
    client.send(frame({ opcode: 2, payload: [0, 255, 7] }));
    const [text, binary] = [await client.readFrame(), await client.readFrame()];
    assertEquals([text?.opcode, new TextDecoder().decode(text!.payload)], [1, "Grüße"]);
    assertEquals([binary?.opcode, ...binary!.payload], [2, 0, 255, 7]);
    client.destroy();
    const { code, err } = await runExample("echo.ts", String(port));
    assertNotEquals(code, 0);
    assertMatch(err, /^[^\n]*in use[^\n]*\n$/);
  });
});

test("The broadcast sends what comes by HTTP to every WebSocket", async () => {
  await withExample("broadcast.ts", async (port) => {
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(port)));
    const answer = await request(port, "GET", "/?message=Gr%C3%BC%C3%9Fe%20an%20alle");
    assertEquals([answer.status, answer.body], [200, "Sent to 3\n"]);
    for (const client of clients) {
      assertEquals(new TextDecoder().decode((await client.readFrame())!.payload), "Grüße an alle");
    }
    assertEquals((await request(port, "GET", "/")).status, 400);
    for (const client of clients) client.destroy();
  });
});

test("The rooms let in who has a token, and tell each other who comes, goes and speaks", async () => {
  await withExample("rooms.ts", async (port) => {
    const tokenOf = async (name: string) => (await request(port, "GET", `/?name=${name}`)).body;
    const enter = async (room: string, token: string) => {
      const client = await RawClient.open(port, `/${room}`, { "Sec-WebSocket-Protocol": `rooms, ${token}` });
      const hears = async () => {
        const { status: _status, offset, epoch, ...news } = JSON.parse(textIn(await client.readFrame()));
        assert("joined" in news || (Number.isSafeInteger(offset) && typeof epoch === "string"));
        return news;
      };
      return Object.assign(client, { hears });
    };
    for (const name of ["", "A-a", "x".repeat(21)]) assertEquals((await request(port, "GET", `/?name=${name}`)).status, 400);
    const token = await tokenOf("Ada");
    assertMatch(token, /^Ada\.[0-9a-f]{64}$/);
    const ada = await enter("tea", token);
    assertEquals(await ada.hears(), { room: "/tea", here: ["Ada"] });
    assertEquals(await ada.hears(), { joined: ["Ada"], left: [] });
    const bob = await enter("tea", await tokenOf("Bob"));
    assertEquals(await bob.hears(), { room: "/tea", here: ["Ada", "Bob"] });
    for (const client of [ada, bob]) assertEquals(await client.hears(), { joined: ["Bob"], left: [] });
    const eve = await enter("coffee", await tokenOf("Eve"));
    assertEquals(await eve.hears(), { room: "/coffee", here: ["Eve"] });
    assertEquals(await eve.hears(), { joined: ["Eve"], left: [] });
    ada.send(said("Grüße"));
    for (const client of [ada, bob]) assertEquals(await client.hears(), { from: "Ada", text: "Grüße" });
    bob.destroy();
    assertEquals(await ada.hears(), { joined: [], left: ["Bob"] });
    eve.send(said("alone"));
    assertEquals(await eve.hears(), { from: "Eve", text: "alone" });

    const wrong = [
      "Bob" + token.slice(3),
      token.slice(0, -2),
      token + "00",
      "Ada.",
      "Ada",
      token.replace(/.$/, (digit) => digit === "0" ? "1" : "0"),
    ];
    for (const one of [...wrong.map((text) => `rooms, ${text}`), token, null, `rooms, ${token}`]) {
      const client = await RawClient.connect(port);
      const room = one?.endsWith(`, ${token}`) ? `/${"x".repeat(255)}` : "/tea";
      client.send(handshake(room, { "Sec-WebSocket-Protocol": one }));
      assertMatch(await client.readHead(), /^HTTP\/1\.1 403 /, String(one));
      client.destroy();
    }
    ada.send(said("still here"));
    assertEquals(await ada.hears(), { from: "Ada", text: "still here" });
    for (const client of [ada, eve]) client.destroy();
  }, { WORKERS: "1" }); // one process: who is there is known at once
});

/** Sends a request with a form, and the cookie of a session. */
async function post(port: number, path: string, form: string, cookie = ""): Promise<{ status: number; head: string }> {
  const client = await RawClient.connect(port);
  const fields = `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${form.length}\r\nCookie: ${cookie}\r\n`;
  client.send(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${fields}\r\n${form}`);
  const [head] = new TextDecoder().decode(await client.readAll()).split("\r\n\r\n", 1);
  client.end();
  return { status: Number(head.slice(9, 12)), head };
}

/** The code and the reason of a Close frame. */
async function closeOf(client: RawClient): Promise<string> {
  const received = await client.readFrame();
  assertEquals(received?.opcode, 8);
  client.send(closeFrame(1000));
  const { payload } = received!;
  return `${payload[0] * 256 + payload[1]} ${textIn({ payload: payload.subarray(2) })}`;
}

/** Tries a handshake. */
async function shake(
  port: number,
  headers: Record<string, string>,
): Promise<{ client: RawClient; status: number; head: string }> {
  const client = await RawClient.connect(port);
  client.send(handshake("/", headers));
  const head = await client.readHead();
  if (!head.startsWith("HTTP/1.1 101 ")) client.destroy();
  return { client, status: Number(head.slice(9, 12)), head };
}

const ORIGIN = { Host: "localhost", Origin: "http://localhost" };

/** Logs in to the example with a cookie, and returns the cookie. */
async function logIn(port: number, user: string): Promise<string> {
  const { status, head } = await post(port, "/login", `user=${user}&password=open+sesame`);
  assertEquals([status, header(head, "Location")], [303, "/"]);
  const cookie = header(head, "Set-Cookie")!;
  assertMatch(cookie, /^session=[0-9a-f-]{36}; path=\/; HttpOnly; SameSite=Strict$/i);
  return cookie.split(";")[0];
}

test("Authentication with a cookie: only who has logged in opens a WebSocket, until he logs out", () =>
  withExample("auth_cookie.ts", async (port) => {
    assertStringIncludes((await request(port, "GET", "/")).body, '<form method="post" action="/login">');
    for (const cookie of ["", "session=", "session=undefined", "session=__proto__", `session=${crypto.randomUUID()}`]) {
      assertEquals((await shake(port, { ...ORIGIN, Cookie: cookie })).status, 403, cookie);
    }
    for (
      const form of [
        "",
        "user=Ada",
        "user=Ada&password=x",
        "user=%3Cb%3E&password=open+sesame",
        "user[]=Ada&password=open+sesame",
      ]
    ) {
      assertEquals((await post(port, "/login", form)).status, 403, form);
    }
    const [ada, bob] = [await logIn(port, "Ada"), await logIn(port, "Bob")];
    const enter = (cookie: string) => RawClient.open(port, "/", { ...ORIGIN, Cookie: cookie });
    const clients = [await enter(ada), await enter(ada), await enter(bob)];
    for (const [index, name] of ["Ada", "Ada", "Bob"].entries()) {
      assertEquals(textIn(await clients[index].readFrame()), `Hello ${name}`);
    }
    clients[0].send(said("<b>"));
    for (const client of clients) assertEquals(textIn(await client.readFrame()), "Ada: <b>");
    // A page of another site may have the browser send the cookie, but not from its own origin.
    assertEquals((await shake(port, { Host: "localhost", Origin: "http://evil.example", Cookie: ada })).status, 403);
    assertEquals((await post(port, "/logout", "", ada)).status, 303);
    for (const client of clients.slice(0, 2)) assertEquals(await closeOf(client), "4001 You have logged out");
    assertEquals((await shake(port, { ...ORIGIN, Cookie: ada })).status, 403);
    clients[2].send(said("still here"));
    assertEquals(textIn(await clients[2].readFrame()), "Bob: still here");
    for (const client of clients) client.destroy();
  }));

test("Authentication with a cookie: a session ends, and its WebSockets with it", async () => {
  const { port, kill } = await startExample("auth_cookie.ts", 0, THIS_RUNTIME, { SECONDS: "1" });
  try {
    let cookie: string, opened: Awaited<ReturnType<typeof shake>>;
    do { // again, if the machine was so slow that the session had ended
      cookie = await logIn(port, "Ada");
      opened = await shake(port, { ...ORIGIN, Cookie: cookie });
    } while (opened.status !== 101);
    assertEquals(textIn(await opened.client.readFrame()), "Hello Ada");
    assertEquals(await closeOf(opened.client), "4001 Your session has ended");
    assertEquals((await shake(port, { ...ORIGIN, Cookie: cookie })).status, 403);
    opened.client.destroy();
  } finally {
    await kill();
  }
});

const tokenFrom = async (port: number) => (await request(port, "POST", "/token")).body;

test("Authentication with a token: as a subprotocol, which is not named, or as a field", () =>
  withExample("auth_subprotocol.ts", async (port) => {
    assertStringIncludes((await request(port, "GET", "/")).body, "new WebSocket(");
    const token = await tokenFrom(port);
    assertMatch(token, /^[\w-]+\.[\w-]{43}$/);
    const [claims, signature] = token.split(".");
    const other = btoa('{"user":"Eve","ends":9999999999999}').replace(/=+$/, "");
    const wrong = [
      "",
      "a",
      "a.b",
      `${claims}.`,
      `${claims}.${signature}x`,
      `${other}.${signature}`,
      `${claims.slice(1)}.${signature}`,
    ];
    for (const one of [...wrong.map((text) => `chat, bearer.${text}`), "chat", token, `bearer ${token}`]) {
      const { status, head } = await shake(port, { "Sec-WebSocket-Protocol": one });
      assertEquals([status, header(head, "WWW-Authenticate")], [401, 'Bearer realm="chat"'], one);
    }
    const page = await shake(port, { "Sec-WebSocket-Protocol": `chat, bearer.${token}` });
    const other1 = await shake(port, { "Sec-WebSocket-Protocol": `bearer.${token}, chat` });
    const tool = await shake(port, { Authorization: `Bearer ${token}` });
    for (const [{ client, status, head }, protocol] of [[page, "chat"], [other1, "chat"], [tool, undefined]] as const) {
      assertEquals([status, header(head, "Sec-WebSocket-Protocol")], [101, protocol]);
      assertEquals(textIn(await client.readFrame()), "Hello Ada");
      client.send(said("hello"));
      assertEquals(textIn(await client.readFrame()), "Ada: hello");
    }
    page.client.send(said(`token ${await tokenFrom(port)}`));
    assertEquals(textIn(await page.client.readFrame()), "You may stay");
    tool.client.send(said("token of nobody"));
    assertEquals(await closeOf(tool.client), "4001 This token is not yours");
    for (const { client } of [page, other1, tool]) client.destroy();
  }));

test("Authentication with a token: a WebSocket ends with its token, unless it gets a new one before", async () => {
  const { port, kill } = await startExample("auth_subprotocol.ts", 0, THIS_RUNTIME, { SECONDS: "2" });
  try {
    for (let stayed = false; !stayed;) {
      const token = await tokenFrom(port);
      const { client, status } = await shake(port, { Authorization: `Bearer ${token}` });
      if (status !== 101) continue; // again, if the machine was so slow that the token had expired
      assertEquals(textIn(await client.readFrame()), "Hello Ada");
      let answer = "You may stay";
      for (let isValid = true; answer === "You may stay" && isValid;) {
        client.send(said(`token ${await tokenFrom(port)}`));
        const received = await client.readFrame();
        answer = received?.opcode === 1 ? textIn(received) : "too late";
        const again = await shake(port, { Authorization: `Bearer ${token}` });
        again.client.destroy();
        isValid = again.status === 101;
      }
      stayed = answer === "You may stay"; // longer than its first token was valid
      if (stayed) assertEquals(await closeOf(client), "4001 The token has expired");
      client.destroy();
    }
  } finally {
    await kill();
  }
});

test("The server behind a proxy knows its visitors as the proxy has seen them", async () => {
  const example = await startExample("behind_a_proxy.ts");
  try {
    const fields = "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: chat.example\r\n";
    const forwarded = await RawClient.connect(example.port);
    forwarded.send(`GET /room HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`);
    assertEquals((await forwarded.readAnswer()).body, "203.0.113.7 has asked for https://chat.example/room\n");
    const headers = { "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "chat.example", Origin: "https://chat.example" };
    const visitor = await RawClient.open(example.port, "/", headers);
    assertEquals(new TextDecoder().decode((await visitor.readFrame())!.payload), "Hello 203.0.113.7");

    const port = Number(/port (\d+)\n/.exec(example.output.out)![1]);
    const proxied = await RawClient.connect(port);
    proxied.send("PROXY TCP4 203.0.113.8 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assertEquals((await proxied.readAnswer()).body, "203.0.113.8 has asked for http://chat.example/\n");
    const without = await RawClient.connect(port);
    without.send("GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n");
    assertEquals(await without.readAll(), new Uint8Array(0));
    for (const client of [forwarded, visitor, proxied, without]) client.destroy();
  } finally {
    await example.kill();
  }
});

// ---- the coroutine style --------------------------------------------------------------------------------------------

const said = (text: string) => frame({ opcode: 1, payload: text });
const textIn = (received: { payload: Uint8Array } | null) => new TextDecoder().decode(received!.payload);

test("The coroutine's echo has a page and answers what its WebSocket hears, until that says close", async () => {
  await withExample("coroutine_echo.ts", async (port) => {
    const page = await request(port, "GET", "/");
    assertEquals(page.status, 200);
    assertMatch(header(page.head, "Content-Type")!, /^text\/html/);
    assertStringIncludes(page.body, "<h1>Swoole WebSocket Server</h1>");
    assertStringIncludes(page.body, "new WebSocket(location.");
    assertEquals((await request(port, "GET", "/websocket")).status, 400);

    const client = await RawClient.open(port, "/websocket");
    for (const name of ["Ada", "Grüße"]) {
      client.send(said(name));
      assertEquals(textIn(await client.readFrame()), `Hello ${name}!`);
      assertEquals(textIn(await client.readFrame()), `How are you, ${name}?`);
    }
    client.send(said("close"));
    assertEquals(await client.readFrames(), []);
    const closing = await RawClient.open(port, "/websocket");
    closing.send(closeFrame(1000));
    assertEquals((await closing.readFrames()).map(({ opcode }) => opcode), [8]);
    for (const one of [client, closing]) one.destroy();

    const { code, err } = await runExample("coroutine_echo.ts", String(port));
    assertNotEquals(code, 0);
    assertMatch(err, /^[^\n]*in use[^\n]*\n$/);
  });
});

test("The coroutine's broadcast reaches everybody, and one who does not read holds up nobody", { timeout: 60_000 }, async () => {
  await withExample("coroutine_broadcast.ts", async (port) => {
    const sleeper = await RawClient.open(port, "/websocket");
    sleeper.socket.pause();
    const clients = await Promise.all([1, 2, 3].map(() => RawClient.open(port, "/websocket")));
    // More than the system takes for the sleeper: 40 messages of 512 KiB.
    const long = "x".repeat(512 * 1024);
    for (let number = 0; number < 40; number++) {
      clients[0].send(said(`${number} ${long}`));
      for (const client of clients) assertEquals(textIn(await client.readFrame()), `Server: ${number} ${long}`);
    }
    clients[1].send(said("close"));
    assertEquals(await clients[1].readFrames(), []);
    clients[2].send(said("bye"));
    for (const one of [clients[0], clients[2]]) assertEquals(textIn(await one.readFrame()), "Server: bye");
    // What was sent while it slept is there, in order, as far as there was room for it.
    sleeper.socket.resume();
    assertEquals(textIn(await sleeper.readFrame()), `Server: 0 ${long}`);
    assertEquals(textIn(await sleeper.readFrame()), `Server: 1 ${long}`);
    for (const client of [sleeper, ...clients]) client.destroy();
  });
});

test("The coroutine's close tells the client why", async () => {
  await withExample("coroutine_close.ts", async (port) => {
    const client = await RawClient.open(port, "/websocket");
    client.send(said("hello"));
    const [close, ...more] = await client.readFrames();
    assertEquals([close.opcode, close.payload[0] * 256 + close.payload[1], more.length], [8, 1000, 0]);
    assertEquals(textIn({ payload: close.payload.subarray(2) }), "close");
    client.destroy();
  });
});

test("The client's ping gets its pong, and says so when there is no server", async () => {
  await withExample("echo.ts", async (port) => {
    assertEquals(await runExample("client_ping.ts", String(port)), { code: 0, out: "true\n", err: "" });
  });
  const { code, out, err } = await runExample("client_ping.ts", "1"); // where nobody listens
  assertEquals([code, out, err], [1, "", "Cannot open ws://127.0.0.1:1/: Connection refused\n"]);
});

test("The client and the server of compression compress what they say", async () => {
  await withExample("compression.ts", async (port) => {
    const { code, out, err } = await runExample("client_compression.ts", String(port));
    assertEquals([code, out, err], [0, "130 bytes, compressed\n".repeat(2), ""]);
  });
});

test("Files are left, told of, listed, and sent as attachments", { timeout: 60_000 }, () =>
  inFolder(async (folder) => {
    process.env.FOLDER = folder;
    await withExample("files.ts", async (port) => {
      const at = `http://127.0.0.1:${port}`;
      assertStringIncludes(await (await fetch(`${at}/`)).text(), '<form method="post" action="/upload"');
      assertEquals((await fetch(`${at}/nothing`)).status, 404);

      const reader = await RawClient.connect(port);
      reader.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      let heard = "";
      const hears = async (text: string) => {
        while (!heard.includes(text)) {
          const some = await reader.readSome();
          assert(some !== null, heard);
          heard += new TextDecoder().decode(some);
        }
      };
      await hears(": hello\n\n");

      const form = new FormData();
      form.append("files[]", new File(["0123456789"], "../digits of é.txt", { type: "text/plain" }));
      form.append("files[]", new File(["<b>"], "b.html"));
      const answer = await fetch(`${at}/upload`, { method: "POST", body: form, redirect: "manual" });
      assertEquals([answer.status, answer.headers.get("location")], [303, "/"]);
      await answer.body?.cancel();
      await hears('data: {"href":"/files/1-digits_of_.txt","textContent":"digits of é.txt, 10 bytes"}\n\n');
      await hears('data: {"href":"/files/2-b.html","textContent":"b.html, 3 bytes"}\n\n');

      const page = await fetch(`${at}/files/2-b.html`);
      const { headers } = page;
      assertEquals([page.status, await page.text()], [200, "<b>"]);
      assertEquals([headers.get("content-disposition"), headers.get("x-content-type-options")], ["attachment", "nosniff"]);
      assertEquals(headers.get("content-type"), "application/octet-stream");
      assertMatch(headers.get("content-security-policy")!, /^sandbox;/);
      for (const path of ["/files/none", "/files/..%2fb", "/files/.x"]) assertEquals((await fetch(at + path)).status, 404, path);
      const list = await (await fetch(`${at}/files/`)).text();
      assertStringIncludes(list, "1-digits_of_.txt");
      reader.destroy();
    });
    assertEquals(readFileSync(join(folder, "files/2-b.html"), "utf8"), "<b>");
    writeFileSync(join(folder, "files/<b>.html"), "not one of these files");
    await withExample("files.ts", async (port) => {
      const form = new FormData();
      form.append("files[]", new File(["later"], "b.html"));
      await (await fetch(`http://127.0.0.1:${port}/upload`, { method: "POST", body: form })).body?.cancel();
      const names = [...(await (await fetch(`http://127.0.0.1:${port}/files/`)).text()).matchAll(/<a href="([^"]*)">/g)];
      assertEquals(names.map(([, name]) => name).sort(), ["1-digits_of_.txt", "2-b.html", "3-b.html"]);
    });
    delete process.env.FOLDER;
  }));
