// The servers that adversaries talk to, in a process of their own, so that its memory, descriptors and processor time are theirs.
// The argument says which lane and which settings. What happens is printed, one line of JSON each; "figures" as a line of input
// prints the figures, "mark" begins to measure them anew, "release" lets waiting handlers go on.

import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fromFetch, HttpServer, Server, type ServerSettings, setRuntime, WebSocketServer } from "../../mod.ts";
import { CloseFrame, type HttpRequest, type HttpResponse } from "../../mod.ts";
import { HttpServer as CoroutineServer } from "../../src/coroutine/mod.ts";
import { lanes } from "../support/lanes.ts";
import { type Options, SERVERS } from "./options.ts";

const MIB = 1024 * 1024;

/** Tells that something has happened to a peer, which is known by its port. */
function emit(event: string, peer: number, detail?: unknown): void {
  console.log(JSON.stringify({ event, peer, detail }));
}

let released = Promise.withResolvers<void>();

/** Tells when a request has been given up, as soon as requests know. */
function watchSignal(request: { signal?: AbortSignal }, peer: number): void {
  request.signal?.addEventListener("abort", () => emit("aborted", peer));
}

/** A stream that says one thing at most and then waits for ever. */
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

/** The fetch application behind /fetch: the peer's port is in the query, since a `Request` knows none. */
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
      // As programs do it that take no notice of what write() says.
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

const options: Options = JSON.parse(process.argv[2] ?? "{}");
const folder = mkdtempSync(join(tmpdir(), "sluice-adversary-"));
const file = join(folder, "file");
writeFileSync(file, "");
truncateSync(file, options.fileSize ?? 64 * MIB);
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

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

/** Notes how connections come and go. */
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

const event = new WebSocketServer("127.0.0.1", 0);
event.set({ ...common, static_handler_locations: "/static" });
watch(event);
event.on("request", (request, response) => answer(request, response, file));
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
  if (data === "wait") {
    emit("reached", peer);
    await released.promise;
    server.push(fd, "at last");
  } else if (data === "leave") {
    emit("reached", peer);
    server.disconnect(fd, 4000, "go");
  } else if (data === "flood") {
    emit("reached", peer);
    const part = new Uint8Array(MIB);
    while (server.push(fd, part, 2));
  } else server.push(fd, frame); // the README's echo: it takes no notice of what push() says
});

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

const coroutine = new CoroutineServer("127.0.0.1", 0);
const {
  document_root: _1,
  enable_static_handler: _2,
  static_handler_locations: _3,
  url_rewrite_rules: _4,
  ...rest
} = common;
coroutine.set({ ...rest, http_stream_body: true });
coroutine.on("error", (_server, error) => noteFault("error", error));
coroutine.handle("/", async (request, response) => {
  const peer = Number(request.server.remote_port);
  const path = String(request.server.path_info);
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

/** How many descriptors of this process are sockets, and how many are others. */
function descriptors(): { sockets: number; others: number } {
  const found = { sockets: 0, others: 0 };
  if (!existsSync("/proc/self/fd")) return found;
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      readlinkSync(`/proc/self/fd/${name}`).startsWith("socket:") ? found.sockets++ : found.others++;
    } catch {
      // the one that this folder was read with
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
  console.log(
    JSON.stringify({
      figures: {
        ...descriptors(),
        connections: connections.reduce((sum, count) => sum + count),
        grown: Math.max(most, rss) - base,
        cpu: (used.user + used.system) / 1000,
        files: readdirSync(folder).length,
        faults,
      },
    }),
  );
}

const lane = lanes.find(([name]) => name === options.lane) ?? lanes[0];
setRuntime(lane[1]);
for (const name of SERVERS) await servers[name].start();
setRuntime(undefined);
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
      console.log(JSON.stringify({ figures: null }));
    } else if (line === "release") {
      released.resolve();
      released = Promise.withResolvers();
    }
  }
}).on("end", () => process.exit());
