// The servers under attack, in a separate process, so that its memory, descriptors and processor time can be measured. The
// argument selects the lane and the settings. Events are printed, one line of JSON each. Lines of input: "figures" prints the
// figures, "mark" starts measuring anew, "release" lets waiting handlers continue, "shutdown" stops the servers, "start" starts
// them again.

import { existsSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  CloseFrame,
  fromFetch,
  type HttpRequest,
  type HttpResponse,
  HttpServer,
  Server,
  type ServerSettings,
  setRuntime,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SSL,
  WebSocketServer,
} from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { lanes } from "../support/lanes.ts";
import { signal } from "../support/serving.ts";
import { tlsSettings } from "../support/tls_client.ts";
import { type Options, SERVERS } from "./options.ts";

const MIB = 1024 * 1024;

/** Reports an event of a peer, which is identified by its port. */
function emit(event: string, peer: number, detail?: unknown): void {
  console.log(JSON.stringify({ event, peer, detail }));
}

let released = signal();

/** Resolves on "release", for the handlers that have to wait. */
const held = released.promise;
let handled = 0;

/** Reports when a request is aborted, if requests have a signal. */
function watchSignal(request: { signal?: AbortSignal }, peer: number): void {
  request.signal?.addEventListener("abort", () => emit("aborted", peer));
}

/** Returns a stream that yields at most one chunk and then never ends. */
function quietStream(
  peer: number,
  first: string | undefined,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (first !== undefined) {
        controller.enqueue(new TextEncoder().encode(first));
      }
    },
    cancel() {
      emit("cancelled", peer);
    },
  });
}

/** The fetch application for /fetch. The port of the peer is in the query, because a `Request` does not have it. */
const application = fromFetch(async (request: Request) => {
  const { pathname, searchParams } = new URL(request.url);
  const peer = Number(searchParams.get("peer"));
  request.signal.addEventListener("abort", () => emit("aborted", peer));
  emit("reached", peer);
  if (pathname === "/fetch/quiet") {
    return new Response(quietStream(peer, "hello"));
  }
  if (pathname === "/fetch/silent") {
    return new Response(quietStream(peer, undefined));
  }
  if (pathname === "/fetch/pending") {
    return await new Promise<Response>(() => {});
  }
  const reader = request.body!.getReader();
  let size = 0;
  try {
    for (
      let part = await reader.read();
      !part.done;
      part = await reader.read()
    ) size += part.value.length;
  } catch {
    emit("broken", peer);
  }
  return new Response(String(size));
});

async function answer(
  request: HttpRequest,
  response: HttpResponse,
  file: string,
): Promise<void> {
  const peer = Number(request.server.remote_port);
  const path = String(request.server.path_info);
  if (path === "/flood") return void response.end("x"); // too frequent to be reported
  if (path.startsWith("/fetch")) return await application(request, response);
  watchSignal(request as { signal?: AbortSignal }, peer);
  emit("reached", peer);
  switch (path) {
    case "/small":
      return void response.end("small");
    case "/wait":
      await released.promise;
      return void response.end("at last");
    case "/detach":
      return void response.detach();
    case "/events":
      response.header("Content-Type", "text/event-stream");
      response.write("data: hello\n\n");
      return void response.detach();
    case "/file":
      return void await response.sendfile(file);
    case "/parts":
      // Like a program that ignores the result of write().
      for (let i = 0; i < 40; i++) response.write(new Uint8Array(MIB).fill(i));
      return void response.end("the end");
    case "/collect": {
      const bytes = await request.bytes();
      return void response.end(String(bytes.length));
    }
    case "/upload":
      try {
        let size = 0;
        for await (const piece of request.body) size += piece.length;
        response.end(String(size));
      } catch {
        emit("broken", peer);
      }
      return;
    default:
      response.status(404);
      response.end("");
  }
}

const options: Options & { folder: string } = JSON.parse(process.argv[2]);
const { folder } = options;
const file = join(folder, "file");
writeFileSync(file, "");
truncateSync(file, options.fileSize ?? 64 * MIB);

const faults: string[] = [];
function noteFault(kind: string, reason: unknown): void {
  faults.push(`${kind}: ${(reason as Error)?.stack ?? reason}`);
  console.error(faults.at(-1));
}
process.on(
  "unhandledRejection",
  (reason) => noteFault("unhandled rejection", reason),
);
process.on(
  "uncaughtException",
  (error) => noteFault("uncaught exception", error),
);

const common: ServerSettings = {
  http_send_timeout: 2,
  websocket_close_timeout: 1,
  document_root: folder,
  enable_static_handler: true,
  static_handler_locations: "/file-of-the-folder",
  url_rewrite_rules: { "/static": "/file" },
  ...options.settings,
};

/** Reports connections and disconnections. */
function watch(server: Server): void {
  const peers = new Map<number, number>();
  server.on("connect", (server, fd) => {
    const info = (server as Server).getClientInfo(fd);
    const peer = info === false ? -fd : info.remote_port;
    peers.set(fd, peer);
    emit("connect", peer);
  });
  server.on("close", (_server, fd) => {
    emit("close", peers.get(fd) ?? -fd);
    peers.delete(fd);
  });
  server.on("error", (_server, error) => noteFault("error", error));
}

const secure: ServerSettings = options.tls ? tlsSettings : {};
const event = new WebSocketServer("127.0.0.1", 0, SWOOLE_PROCESS, options.tls ? SWOOLE_SOCK_TCP | SWOOLE_SSL : SWOOLE_SOCK_TCP);
event.set({ ...common, ...secure, static_handler_locations: "/static" });
watch(event);
event.on("request", (request, response) => answer(request, response, file));
event.on("authenticate", (request) => {
  const path = request.server.path_info;
  if (path !== "/doubt") return path !== "/reject";
  emit("reached", Number(request.server.remote_port));
  return released.promise.then(() => true);
});
event.on("beforeHandshakeResponse", async (request, response) => {
  const path = request.server.path_info;
  if (path === "/refuse") {
    return void (response.status(403) && response.end("no"));
  }
  if (path !== "/hesitate") return;
  emit("reached", Number(request.server.remote_port));
  await released.promise;
});
event.on("message", async (server, frame) => {
  if (frame instanceof CloseFrame) return;
  const { fd, data } = frame;
  const info = (server as WebSocketServer).getClientInfo(fd);
  const peer = info === false ? -fd : info.remote_port;
  if (typeof data === "string" && data.startsWith("topic ")) {
    useTopic(server as WebSocketServer, fd, data.slice("topic ".length));
  } else if (data === "wait") {
    emit("reached", peer);
    await released.promise;
    server.push(fd, "at last");
  } else if (data === "hold") {
    await held;
    handled++;
  } else if (data === "leave") {
    emit("reached", peer);
    server.disconnect(fd, 4000, "go");
  } else if (data === "flood") {
    emit("reached", peer);
    const part = new Uint8Array(MIB);
    while (server.push(fd, part, 2));
  } else server.push(fd, frame); // the echo of the README: it ignores the result of push()
});

/** `+a` subscribes to `a`, `-a` unsubscribes, `?` tells how many topics it has, and `>a text 10` publishes a text, padded to 10 bytes. */
function useTopic(server: WebSocketServer, fd: number, command: string): void {
  const [topic, text, size] = command.slice(1).split(" ");
  if (command[0] === "+") server.subscribe(fd, topic);
  else if (command[0] === "-") server.unsubscribe(fd, topic);
  else if (command[0] === "?") server.push(fd, `${server.topics(fd).length}`);
  else server.publish(topic, text.padEnd(Number(size), "."));
}

const stream = new HttpServer("127.0.0.1", 0);
stream.set({ ...common, http_stream_body: true, package_max_length: 2 * MIB });
watch(stream);
stream.on("request", (request, response) => answer(request, response, file));

const form = new HttpServer("127.0.0.1", 0);
form.set({
  ...common,
  http_parse_files: true,
  upload_max_filesize: 4 * MIB,
  upload_tmp_dir: folder,
});
watch(form);
form.on("request", (request, response) => answer(request, response, file));

const coroutine = new CoroutineServer("127.0.0.1", 0, options.tls);
const {
  document_root: _1,
  enable_static_handler: _2,
  static_handler_locations: _3,
  url_rewrite_rules: _4,
  ...rest
} = common;
coroutine.set({ ...rest, ...secure, http_stream_body: true });
coroutine.on("error", (_server, error) => noteFault("error", error));
coroutine.handle("/", async (request, response) => {
  const peer = Number(request.server.remote_port);
  const path = String(request.server.path_info);
  if (path === "/flood") return void await response.end("x");
  watchSignal(request as { signal?: AbortSignal }, peer);
  emit("reached", peer);
  if (path === "/wait") {
    await released.promise;
    await response.end("at last");
  } else if (path === "/parts") {
    for (let i = 0; i < 40; i++) {
      if (!await response.write(new Uint8Array(MIB).fill(i))) break;
    }
    await response.end("the end");
  } else if (path === "/file") {
    await response.sendfile(file);
  } else if (path === "/upload") {
    try {
      let size = 0;
      for await (const piece of request.body) size += piece.length;
      await response.end(String(size));
    } catch {
      emit("broken", peer);
    }
  } else await response.end("small");
});
coroutine.handle("/websocket", async (request, ws) => {
  const peer = Number(request.server.remote_port);
  if (!await ws.upgrade()) return;
  emit("opened", peer);
  while (true) {
    const frame = await ws.recv();
    if (frame === "" || frame === false || frame instanceof CloseFrame) break;
    if (frame.data === "wait") {
      emit("reached", peer);
      await released.promise;
    }
    await ws.push(frame);
  }
  emit("ended", peer);
});

const raw = new Server("127.0.0.1", 0);
raw.set(options.settings ?? {});
watch(raw);
raw.on("receive", (server, fd, _reactor, data) => {
  const info = server.getClientInfo(fd);
  if (info !== false) emit("reached", info.remote_port);
  server.send(fd, data);
});

const servers = { event, stream, form, coroutine, raw };

/** Counts the descriptors of this process: sockets and others. */
function descriptors(): { sockets: number; others: number } {
  const found = { sockets: 0, others: 0 };
  if (!existsSync("/proc/self/fd")) return found;
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      readlinkSync(`/proc/self/fd/${name}`).startsWith("socket:") ? found.sockets++ : found.others++;
    } catch {
      // the descriptor used to read this directory
    }
  }
  return found;
}

let most = 0;
let cpu = process.cpuUsage();
let base = process.memoryUsage().rss;
setInterval(() => most = Math.max(most, process.memoryUsage().rss), 20);

function tellFigures(): void {
  const used = process.cpuUsage(cpu);
  const rss = process.memoryUsage().rss;
  const connections = [event, stream, form, raw].map((server) => server.stats().connection_num);
  const { topic_num, subscription_num, slow_readers } = event.stats();
  console.log(
    JSON.stringify({
      reply: {
        ...descriptors(),
        connections: connections.reduce((sum, count) => sum + count),
        grown: Math.max(most, rss) - base,
        cpu: (used.user + used.system) / 1000,
        files: readdirSync(folder).length,
        handled,
        faults,
        topics: topic_num,
        subscriptions: subscription_num,
        slowReaders: slow_readers,
      },
    }),
  );
}

const lane = lanes.find(([name]) => name === options.lane) ?? lanes[0];

/** Starts all servers; after the first time on the same ports. */
async function start(): Promise<void> {
  setRuntime(lane[1]);
  for (const name of SERVERS) await servers[name].start();
  setRuntime(undefined);
}

/** Stops all servers, and returns the milliseconds that took. */
async function stop(): Promise<number> {
  const begun = performance.now();
  for (const name of SERVERS) servers[name].shutdown();
  for (const name of SERVERS) await servers[name].finished;
  return performance.now() - begun;
}

function reply(line: string, work: Promise<unknown>): void {
  work.then((value) => console.log(JSON.stringify({ reply: value ?? null })), (error) => noteFault(line, error));
}

await start();
console.log(JSON.stringify(SERVERS.map((name) => servers[name].port)));

let input = "";
process.stdin.setEncoding("utf8").on("data", (text: string) => {
  const lines = (input + text).split("\n");
  input = lines.pop()!;
  for (const line of lines) {
    if (line === "figures") tellFigures();
    else if (line === "mark") {
      most = 0;
      cpu = process.cpuUsage();
      base = process.memoryUsage().rss;
      console.log(JSON.stringify({ reply: null }));
    } else if (line === "release") {
      released.resolve();
      released = signal();
    } else if (line === "shutdown") reply(line, stop());
    else if (line === "start") reply(line, start());
  }
}).on("end", () => process.exit());
