/**
 * The adapter for Deno: `Deno.listen` and `Deno.connect`, and `node:tls` where TLS is asked for.
 *
 * @module
 */

import { copyBytes } from "../src/bytes.ts";
import { LanePipe } from "../src/lane_streams.ts";
import type { Address, BytePipe, ConnectOptions, Lane, LaneSink, Listener, ListenOptions, Runtime } from "../src/runtime.ts";
import { decompressor } from "./content_decoder.ts";
import { encoder } from "./content_encoder.ts";
import { listenDatagram } from "./datagrams.ts";
import { files } from "./files.ts";
import { signals } from "./signals.ts";
import { zlibEngine } from "./zlib.ts";

/**
 * The sizes of read buffers. A buffer is in use for as long as a read waits, so that it is most of what an idle connection costs; a
 * connection gets the next larger one when a read fills its buffer.
 */
const READ_SIZES = [512, 4 * 1024, 64 * 1024];

/** A connection gets the next smaller buffer after so many reads in a row that would have fitted into it. */
const SMALL_READS = 16;

/** So many bytes are read from a connection before others have their turn: of one that floods, the next read is ready at once. */
const BYTES_PER_TURN = 256 * 1024;

/** How long to wait before accepting again when no descriptors are left, in milliseconds. */
const ACCEPT_RETRY = 100;

/** Memory that writes of this many octets or more copy into, and that is used again: making it anew is what they would cost. */
const POOLED_FROM = 4 * 1024;
const POOLED_SIZE = 128 * 1024;
const POOL_LIMIT = 8;
const pool: Uint8Array[] = [];
let pooled = 0; // in the pool, or on its way

/** Octets through `conn.read()` and `conn.write()`: the streams of a `Deno.Conn` know no half-close and hold 64 KiB each. */
class DenoLane implements Lane {
  readonly canReset: boolean = false; // Deno has no way to send a reset
  readonly #conn: Deno.Conn;
  #sink!: LaneSink;
  #paused = false;
  #resume: (() => void) | undefined = undefined;
  #readDone = false;
  #writeDone = false;
  #writeError: unknown = undefined;
  #closed = false;
  #share = BYTES_PER_TURN; // what is left of it

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  start(sink: LaneSink): void {
    this.#sink = sink;
    this.#read();
  }

  async #read(): Promise<void> {
    let level = 0;
    let buffer = new Uint8Array(READ_SIZES[level]);
    let small = 0;
    while (true) {
      if (this.#paused) {
        if (this.#writeError !== undefined) return this.#close(this.#writeError);
        await new Promise<void>((resolve) => this.#resume = resolve);
      }
      let count: number | null;
      try {
        count = await this.#conn.read(buffer);
      } catch (error) {
        return this.#close(this.#writeError ?? error);
      }
      if (this.#closed) return;
      if (count === null && this.#writeError !== undefined) return this.#close(this.#writeError);
      if (count === null) break;
      this.#share -= count;
      if (this.#share <= 0) {
        this.#share = BYTES_PER_TURN;
        await nextTurn();
        if (this.#closed) return;
      }
      this.#sink.onData(count === buffer.length ? buffer : buffer.subarray(0, count), false);
      if (count === buffer.length && level < READ_SIZES.length - 1) {
        buffer = new Uint8Array(READ_SIZES[++level]);
        small = 0;
      } else if (level > 0 && count <= READ_SIZES[level - 1]) {
        if (++small === SMALL_READS) buffer = new Uint8Array(READ_SIZES[--level]);
        small %= SMALL_READS;
      } else {
        small = 0;
      }
    }
    this.#readDone = true;
    this.#sink.onEnd();
    if (this.#writeDone) this.#close();
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    const size = end - start;
    if (owned) this.#write(bytes.subarray(start, end));
    else if (size < POOLED_FROM || size > POOLED_SIZE) this.#write(copyBytes(bytes, start, end));
    else this.#writePooled(bytes, start, end);
    return false;
  }

  #writePooled(bytes: Uint8Array, start: number, end: number): void {
    let memory = pool.pop();
    if (memory === undefined) {
      // So much of it just for this chunk would cost more than a copy.
      if (pooled === POOL_LIMIT) return void this.#write(copyBytes(bytes, start, end));
      pooled++;
      memory = new Uint8Array(POOLED_SIZE);
    }
    memory.set(bytes.subarray(start, end));
    this.#write(memory.subarray(0, end - start), memory);
  }

  /** Writes a chunk. Its `memory`, if any, goes back to the pool; not after a failure, when the runtime may still read it. */
  async #write(chunk: Uint8Array, memory?: Uint8Array): Promise<void> {
    try {
      let at = await this.#conn.write(chunk);
      while (at < chunk.length) at += await this.#conn.write(chunk.subarray(at));
    } catch (error) {
      if (memory !== undefined) pooled--;
      // What the peer sent before it went may still be there to be read; what broke the connection comes behind it.
      if (this.#paused || this.#readDone) return this.#close(error);
      this.#writeError ??= error;
      return;
    }
    if (memory !== undefined) pool.push(memory);
    if (!this.#closed) this.#sink.onDrain();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resume?.();
    this.#resume = undefined;
  }

  end(): void {
    this.#conn.closeWrite().then(() => {
      this.#writeDone = true;
      if (this.#readDone) this.#close();
    }, (error) => this.#close(error));
  }

  abort(): void {
    this.#close();
  }

  #close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.resume();
    close(this.#conn);
    this.#sink?.onClose(error);
  }
}

function addressOf(addr: Deno.Addr | undefined): Address | undefined {
  if (addr === undefined) return undefined;
  if (addr.transport === "tcp") return { transport: "tcp", hostname: addr.hostname, port: addr.port };
  return { transport: "unix", hostname: "path" in addr ? addr.path ?? "" : "", port: 0 };
}

function open(options: ListenOptions): Deno.Listener {
  const { hostname, port, backlog: tcpBacklog } = options;
  if (options.transport === "unix") return Deno.listen({ transport: "unix", path: hostname });
  return Deno.listen({ hostname, port, tcpBacklog });
}

/** What the system says when it has no room for another connection. Everything else that `accept()` says is about one that is gone. */
const EXHAUSTED = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** So many connections are accepted before others have their turn: the next one may be there already. */
const ACCEPTS_PER_TURN = 64;

/** Accepts until the listener is closed. */
async function acceptAll(
  listener: Deno.Listener,
  noDelay: boolean,
  accept: (pipe: BytePipe) => void,
  failed: (error: unknown) => void,
): Promise<void> {
  for (let count = 1;; count++) {
    if (count % ACCEPTS_PER_TURN === 0) await nextTurn();
    let conn: Deno.Conn;
    try {
      conn = await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return; // the listener was closed
      if (!EXHAUSTED.has((error as { code?: string }).code ?? "")) continue; // the client left before it was accepted
      failed(error);
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY));
      continue;
    }
    let pipe: BytePipe;
    try {
      pipe = pipeOf(conn, noDelay);
    } catch {
      close(conn); // the client has left since
      continue;
    }
    accept(pipe);
  }
}

/** Lets the sockets and timers that are ready have their turn. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

function pipeOf(conn: Deno.Conn, noDelay: boolean): BytePipe {
  if (noDelay && "setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
  return new DenoPipe(conn);
}

/** Deno has no code for a name that it does not find. */
function explain(error: unknown, hostname: string): unknown {
  if (!(error instanceof Error) || !error.message.startsWith("failed to lookup address")) return error;
  return Object.assign(new Error(`cannot find ${hostname}`, { cause: error }), { code: "ENOTFOUND" });
}

async function connect(options: ConnectOptions): Promise<BytePipe> {
  const { transport, hostname, port, localHostname, localPort, tls, proxy, noDelay, signal } = options;
  if (tls !== undefined || proxy !== undefined || localHostname !== undefined || localPort !== undefined) {
    // Deno's own TLS neither takes a self-signed certificate nor can be given up, and its TCP cannot bind an address;
    // and TLS over a connection that is there already, behind a proxy, needs node:tls.
    return (await import("./node.ts")).runtime.connect(options);
  }
  signal.throwIfAborted();
  let conn: Deno.Conn;
  try {
    conn = await (transport === "unix" ? Deno.connect({ transport, path: hostname }) : Deno.connect({ hostname, port, signal }));
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, hostname);
  }
  if (signal.aborted) close(conn); // it came too late
  signal.throwIfAborted();
  return pipeOf(conn, noDelay);
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It was closed already.
  }
}

/** A pipe whose addresses are made when somebody asks for them. */
class DenoPipe extends LanePipe {
  readonly #conn: Deno.Conn;

  constructor(conn: Deno.Conn) {
    super(new DenoLane(conn));
    this.#conn = conn;
  }

  get localAddress(): Address | undefined {
    return addressOf(this.#conn.localAddr);
  }

  get remoteAddress(): Address | undefined {
    return addressOf(this.#conn.remoteAddr);
  }
}

/** Deno as a runtime for servers and clients. */
export const runtime: Runtime = {
  name: "deno",
  pid: Deno.pid,
  async listen(options, accept, failed): Promise<Listener> {
    if (options.tls !== undefined || options.reusePort || options.keepAlive !== undefined) {
      // A TLS connection of Deno's own cannot be dropped before its handshake is done: a peer that never does it would keep
      // the socket for ever. Through node:tls it can, and that is no slower. And reusePort needs an unstable flag there,
      // keepAlive is on or off, without a time.
      return (await import("./node.ts")).runtime.listen(options, accept, failed);
    }
    const listener = open(options);
    const done = acceptAll(listener, options.noDelay, accept, failed);
    let closed = false;
    return {
      address: addressOf(listener.addr)!,
      close: () => {
        if (!closed) listener.close();
        closed = true;
        return done; // only then is the port free
      },
    };
  },
  connect,
  listenDatagram,
  nextTurn: (work) => void setImmediate(work),
  deflate: zlibEngine,
  encoder,
  decompressor,
  signals,
  ...files,
};
