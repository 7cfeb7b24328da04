/**
 * Real proxies in front of a server: nginx and HAProxy, which Debian has as nginx-light, libnginx-mod-stream and haproxy.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import { lastingPort } from "../browser/start_example.ts";
import { inFolder } from "../support/folder.ts";
import { pathOf } from "../support/prerequisites.ts";

/** The address that clients connect from, which is not that of the proxy. All of 127.0.0.0/8 is this machine. */
export const CLIENT = "127.0.0.2";

/** Makes the configuration of a proxy, which listens on a port of 127.0.0.1 and may keep files in a folder. */
export type Configure = (port: number, folder: string) => string;

/** How often to look for another port: somebody may take one between the look and the proxy. */
const ATTEMPTS = 5;

/** Starts a proxy, runs a test against its port, and always ends it. */
async function behind(
  command: (file: string) => readonly string[],
  configure: Configure,
  work: (port: number) => Promise<void>,
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const port = await lastingPort();
    const isRunning = await inFolder(async (folder) => {
      const file = `${folder}/proxy.conf`;
      writeFileSync(file, configure(port, folder));
      const [program, ...args] = command(file);
      const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output += new TextDecoder().decode(chunk));
      let isOver = false;
      const ended = new Promise<void>((resolve) =>
        child.on("close", () => {
          isOver = true;
          resolve();
        })
      );
      child.on("error", (error) => output += error);
      const onExit = () => void child.kill("SIGKILL");
      process.on("exit", onExit);
      try {
        while (!isOver && !await accepts(port)) await new Promise((resolve) => setTimeout(resolve, 20));
        if (!isOver) {
          await work(port);
          return true;
        }
        if (attempt === ATTEMPTS || !/in use|cannot bind/i.test(output)) throw new Error(`${program} has ended: ${output}`);
        return false;
      } finally {
        if (!isOver) child.kill("SIGKILL");
        await ended;
        process.off("exit", onExit);
      }
    });
    if (isRunning) return;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** What every configuration of nginx begins with: one process, which writes nowhere but into its folder. */
function nginxHead(folder: string, modules = ""): string {
  return `${modules}daemon off; master_process off; pid ${folder}/pid; error_log stderr crit; events { worker_connections 64; }\n`;
}

/** What makes `Connection` of nginx: `upgrade` for WebSockets. */
export const MAP = 'map $http_upgrade $connection_upgrade { default upgrade; "" ""; }';

/**
 * Runs a test behind nginx.
 *
 * @param server What is in `server { … }`, beside `listen`.
 * @param more What is in `http { … }` beside it.
 */
export function behindNginx(
  server: string,
  work: (port: number) => Promise<void>,
  { more = MAP, listen = "" }: { more?: string; listen?: string } = {},
): Promise<void> {
  const configure: Configure = (port, folder) => {
    const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
    return `${nginxHead(folder)}
http {
  access_log off;
  ${places.join(" ")}
  ${more}
  server {
    listen 127.0.0.1:${port} ${listen};
    ${server}
  }
}
`;
  };
  return behind((file) => [pathOf("nginx"), "-e", "stderr", "-c", file], configure, work);
}

/** Runs a test behind nginx that passes on bytes; `server` is what is in `server { … }`, beside `listen`. */
export function behindNginxStream(server: string, work: (port: number) => Promise<void>): Promise<void> {
  const module = pathOf("nginx-stream");
  const configure: Configure = (port, folder) =>
    `${nginxHead(folder, module === "built-in" ? "" : `load_module ${module};\n`)}
stream {
  server {
    listen 127.0.0.1:${port};
    ${server}
  }
}
`;
  return behind((file) => [pathOf("nginx"), "-e", "stderr", "-c", file], configure, work);
}

/** Runs a test behind HAProxy, with a configuration beside the defaults. */
export function behindHaproxyOf(configure: Configure, work: (port: number) => Promise<void>): Promise<void> {
  const defaults = "timeout connect 10s\n  timeout check 10s\n  timeout client 60s\n  timeout server 60s\n  timeout tunnel 60s";
  const all: Configure = (port, folder) => `global\n  maxconn 100\ndefaults\n  ${defaults}\n${configure(port, folder)}\n`;
  return behind((file) => [pathOf("haproxy"), "-db", "-q", "-f", file], all, work);
}

/** Runs a test behind HAProxy. */
export function behindHaproxy(
  { mode, bind = "", frontend = "", backend = "", server }: {
    mode: "http" | "tcp";
    bind?: string;
    frontend?: string;
    backend?: string;
    server: string;
  },
  work: (port: number) => Promise<void>,
): Promise<void> {
  const configure: Configure = (port) => `
frontend web
  mode ${mode}
  bind 127.0.0.1:${port} ${bind}
  ${frontend.trim().split("\n").join("\n  ")}
  default_backend sluice
backend sluice
  mode ${mode}
  ${backend}
  server sluice ${server}
`;
  return behindHaproxyOf(configure, work);
}
