// The server of the soak. It prints its port; each line of input asks for its figures, which come as one line of JSON.

import { existsSync, readdirSync } from "node:fs";
import process from "node:process";
import { type ServerSettings, WebSocketServer } from "../../mod.ts";

const settings: ServerSettings = JSON.parse(process.argv[2] ?? "{}");
const server = new WebSocketServer("127.0.0.1", 0);
server.set(settings);

const counts = {
  opened: 0,
  closed: 0,
  twice: 0,
  refused: 0,
  errors: 0,
  broadcasts: 0,
};
const open = new Set<number>();
const problems: string[] = [];
const note = (what: unknown) => {
  counts.errors++;
  if (problems.length < 20) {
    problems.push(String((what as Error)?.stack ?? what));
  }
};
process.on("unhandledRejection", note);
process.on("uncaughtException", note);

const PART = "x".repeat(16_384);

server.on("open", (_server, { fd }) => {
  counts.opened++;
  open.add(fd);
});
server.on("close", (_server, fd) => {
  if (open.delete(fd)) counts.closed++;
});
server.on("error", (_server, error) => note(error));
server.on("message", (server, { fd, data }) => {
  if (typeof data === "string" && data.startsWith("parts ")) {
    // For slow readers: so many numbered parts.
    const [, first, count] = data.split(" ").map(Number);
    for (let i = 0; i < count; i++) {
      if (!server.push(fd, `part ${first + i} ${PART}`)) counts.refused++;
    }
  } else if (!server.push(fd, data, typeof data === "string" ? 1 : 2)) {
    counts.refused++;
  }
});
server.on("request", async (request, response) => {
  const path = request.server.path_info;
  if (path === "/large") {
    return void response.end(new Uint8Array(1_000_000).fill(120));
  }
  if (path === "/slow") {
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  response.end(String(request.rawContent().length));
});
await server.start();

setInterval(() => {
  const text = `broadcast ${counts.broadcasts++} ${"x".repeat(100)}`;
  for (const fd of open) if (!server.push(fd, text)) counts.refused++;
}, 3000);

console.log(server.port);
process.stdin.on("data", () => {
  // Garbage is no leak, nor are the pages that V8 keeps for later: this flavor gives them back.
  const { Bun, gc } = globalThis as {
    Bun?: { gc(now: boolean): void };
    gc?: (options: { type: string; execution: string; flavor: string }) => void;
  };
  Bun?.gc(true);
  gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  const { connection_num, timeouts, closes, refusals } = server.stats();
  const { rss, heapUsed, external } = process.memoryUsage();
  console.log(
    JSON.stringify({
      rss,
      heap: heapUsed + external,
      descriptors: existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0,
      connections: connection_num,
      endings: JSON.stringify({ timeouts, closes, refusals }),
      cpu: Object.values(process.cpuUsage()).reduce((sum, part) => sum + part) /
        1e6,
      ...counts,
      problems,
    }),
  );
}).on("end", () => process.exit());
