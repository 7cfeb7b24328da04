/**
 * A Redis server that a test starts, on a port and in a folder of its own, and a proxy in front of it.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathOf } from "./prerequisites.ts";

/** Returns a port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Redis server. */
export class RedisServer {
  /** The port. It stays the same when the server is started again. */
  port = 0;
  /** The folder of its data. */
  readonly folder: string = mkdtempSync(join(tmpdir(), "sluice-redis-"));

  readonly #options: readonly string[];
  #process: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();

  private constructor(options: readonly string[]) {
    this.#options = options;
  }

  /** Starts a server. */
  static async start(...options: string[]): Promise<RedisServer> {
    const server = new RedisServer(options);
    server.port = await freePort();
    await server.start();
    return server;
  }

  /** The address for clients. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts the server again, after `kill()`. */
  async start(): Promise<void> {
    const defaults = [
      "--port",
      `${this.port}`,
      "--bind",
      "127.0.0.1",
      "--dir",
      this.folder,
      "--save",
      "",
      "--loglevel",
      "warning",
    ];
    const child = this.#process = spawn(pathOf("redis"), [...defaults, ...this.#options], { stdio: "ignore" });
    this.#exited = new Promise((resolve) => child.on("exit", resolve));
    for (const end = performance.now() + 20_000;;) {
      if (await this.command("PING").then((reply) => reply.startsWith("+PONG"), () => false)) return;
      if (performance.now() > end) throw new Error("Redis does not start");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Kills the server with SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#exited;
  }

  /** Stops the process, so that its connections stay and nothing is replied. */
  freeze(): void {
    process.kill(this.#process!.pid!, "SIGSTOP");
  }

  /** Lets the process run on. */
  thaw(): void {
    process.kill(this.#process!.pid!, "SIGCONT");
  }

  /** Copies the data to a folder, or from there. */
  copyTo(folder: string): void {
    cpSync(this.folder, folder, { recursive: true });
  }

  /** Replaces the data. */
  copyFrom(folder: string): void {
    rmSync(this.folder, { recursive: true });
    cpSync(folder, this.folder, { recursive: true });
  }

  /** Runs a test with a server. */
  static async with(test: (server: RedisServer) => Promise<void>): Promise<void> {
    const server = await RedisServer.start();
    try {
      await test(server);
    } finally {
      await server.stop();
    }
  }

  /** Sends a command, and returns the beginning of the reply as it is. */
  command(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, "127.0.0.1");
      socket.on("error", reject);
      socket.on("connect", () => {
        socket.write(
          `*${args.length}\r\n${args.map((arg) => `$${new TextEncoder().encode(arg).length}\r\n${arg}\r\n`).join("")}`,
        );
      });
      let text = "";
      socket.on("data", (data) => {
        text += data;
        const length = /^\$(\d+)\r\n/.exec(text);
        if (length !== null && text.length < length[0].length + Number(length[1])) return;
        socket.destroy();
        resolve(text);
      });
    });
  }

  /** Ends the server, and removes its data. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A connection through a proxy. */
export interface ProxiedConnection {
  /** Whether it has subscribed to something. */
  readonly isSubscriber: boolean;
  /** Ends it. */
  cut(): void;
  /** Passes on nothing any more, and ends nothing. */
  mute(): void;
}

/** A proxy that passes on bytes, and can cut connections. */
export class RedisProxy {
  port = 0;
  /** The connections that are open. */
  readonly connections: Set<ProxiedConnection> = new Set();

  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();

  private constructor(target: () => number) {
    this.#server = createServer((client) => {
      const server = connect(target(), "127.0.0.1");
      let isSubscriber = false;
      let isMuted = false;
      const cut = () => {
        client.destroy();
        server.destroy();
        this.connections.delete(connection);
      };
      const connection: ProxiedConnection = {
        get isSubscriber() {
          return isSubscriber;
        },
        cut,
        mute: () => isMuted = true,
      };
      this.connections.add(connection);
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.on("error", cut).on("close", () => (this.#sockets.delete(socket), cut()));
      }
      client.on("data", (data) => {
        if (/\r\nSUBSCRIBE\r\n/i.test(data.toString("latin1"))) isSubscriber = true;
        if (!isMuted) server.write(data);
      });
      server.on("data", (data) => void (isMuted || client.write(data)));
    });
  }

  /** Starts a proxy. */
  static async start(server: RedisServer): Promise<RedisProxy> {
    const proxy = new RedisProxy(() => server.port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.port = (proxy.#server.address() as { port: number }).port;
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
