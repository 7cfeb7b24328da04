/**
 * The adapter for Deno: `Deno.listen` and `Deno.connect`, and `node:tls` for TLS.
 *
 * @module
 */

import { copyBytes } from "../src/transport/bytes.ts";
import { LanePipe } from "../src/transport/pipes.ts";
import type {
  Address,
  BytePipe,
  ConnectOptions,
  Lane,
  LaneSink,
  Listener,
  ListenOptions,
  Runtime,
} from "../src/transport/runtime.ts";
import { common } from "./common.ts";
import { nextTurn, SharingLane } from "./process.ts";
import { SmallBuffers } from "./small_buffers.ts";

/**
 * The sizes of read buffers. A pending read occupies its buffer, so the buffer is most of the cost of an idle connection. A
 * connection gets the next larger buffer when a read fills the current one. 20 KiB hold a message of 16 KiB, 80 KiB four of them.
 */
const READ_SIZES = [512, 4 * 1024, 20 * 1024, 80 * 1024];

/** The first level of `READ_SIZES` whose buffers count as memory that a connection holds. */
const COUNTED_LEVEL = 2;

/**
 * A connection gets the next smaller buffer after this many consecutive reads that would have fitted into it. A counted buffer is
 * replaced at once, because the next read may be pending for hours.
 */
const SMALL_READS = 16;

/** After this many bytes, other connections get their turn: on a flooding connection, the next read is always ready at once. */
const BYTES_PER_TURN = 256 * 1024;

/** The delay in milliseconds before accepting again when no descriptors are left. */
const ACCEPT_RETRY = 100;

/** Writes of at least this many bytes are copied to pooled memory, because allocating it would be most of their cost. */
const POOLED_FROM = 4 * 1024;
const POOLED_SIZE = 128 * 1024;
const POOL_LIMIT = 24;
const pool: Uint8Array[] = [];
let pooled = 0; // in the pool or in use

/**
 * The number of writes that are started in one turn; others wait for a later one, in order. The runtime carries out about 128
 * operations at a time and polls all others in vain, again and again: to start 10,000 at once takes twice the processor time, and
 * on a busy machine some of them never have their turn.
 */
const WRITES_PER_TURN = 100;
let remainingWrites = WRITES_PER_TURN;

/** Resolve the promises of lanes that wait for a turn to write, in order; those before `firstWaiting` have been called. */
const waiting: (() => void)[] = [];
let firstWaiting = 0;

/** Takes a write of this turn, or else resolves in the turn in which there is one. */
function turnToWrite(): Promise<void> | undefined {
  if (remainingWrites === 0) return new Promise((resolve) => waiting.push(resolve));
  if (--remainingWrites === 0) nextTurn().then(nextWrites);
}

function nextWrites(): void {
  const end = Math.min(firstWaiting + WRITES_PER_TURN, waiting.length);
  remainingWrites = WRITES_PER_TURN - (end - firstWaiting);
  while (firstWaiting < end) waiting[firstWaiting++]();
  if (remainingWrites === 0) nextTurn().then(nextWrites);
  if (firstWaiting * 2 < waiting.length) return; // so that each is moved once or twice, however many wait
  waiting.splice(0, firstWaiting);
  firstWaiting = 0;
}

/** The buffers of the smallest size, that of nearly all idle connections. */
const smallBuffers = new SmallBuffers(READ_SIZES[0]);

/** A few larger buffers that nobody uses, of each size. */
const spareBuffers: Uint8Array[][] = READ_SIZES.map(() => []);
const MOST_SPARE = 16;

/** Returns a buffer of a level. */
function takeBuffer(level: number): Uint8Array {
  return level === 0 ? smallBuffers.take() : spareBuffers[level].pop() ?? new Uint8Array(READ_SIZES[level]);
}

/** Gives back a buffer of a level. */
function giveBuffer(level: number, buffer: Uint8Array): void {
  if (level === 0) smallBuffers.give(buffer);
  else if (spareBuffers[level].length < MOST_SPARE) spareBuffers[level].push(buffer);
}

/**
 * The callback of a write, for both of its results. It is made once and serves one lane after another: on most connections nothing
 * is being written, most of the time.
 */
class WriteCallback {
  lane: DenoLane | undefined = undefined;
  readonly call = (result: unknown): void => {
    const lane = this.lane!;
    this.lane = undefined;
    if (spareCallbacks.length < SPARE_CALLBACKS) spareCallbacks.push(this);
    lane.afterWrite(result);
  };
}

const SPARE_CALLBACKS = 256;
const spareCallbacks: WriteCallback[] = [];

/**
 * A lane over `conn.read()` and `conn.write()`: the streams of a `Deno.Conn` have no half-close and hold 64 KiB each. Its
 * callbacks are made once: the state of an async function that waits takes more memory than all of the lane.
 */
class DenoLane extends SharingLane implements Lane {
  readonly #conn: Deno.Conn;
  #sink!: LaneSink;
  #buffer: Uint8Array | undefined = undefined; // from the start until nothing more is read
  #level = 0; // of the buffer, in `READ_SIZES`
  #burst = 0; // bytes since a read last left room in its buffer
  #small = -1; // consecutive reads that would have fitted into the next smaller buffer; negative during the first burst
  #chunk: Uint8Array | undefined = undefined; // what is being written
  #memory: Uint8Array | undefined = undefined; // of the pool, if that is in it
  #paused = false;
  #isWaiting = false; // with the next read, for `resume()`
  #readDone = false;
  #writeDone = false;
  #writeError: unknown = undefined;
  #closed = false;
  #share = BYTES_PER_TURN; // remaining bytes of this turn
  readonly #onRead = (result: unknown): void => this.#afterRead(result);
  constructor(conn: Deno.Conn) {
    super();
    this.#conn = conn;
  }

  /** Deno has no way to send a reset. */
  get canReset(): boolean {
    return false;
  }

  /** Counts only large buffers: the smaller ones are part of the basic cost of a connection. */
  get heldBytes(): number {
    return this.#level < COUNTED_LEVEL || this.#buffer === undefined ? 0 : READ_SIZES[this.#level];
  }

  start(sink: LaneSink): void {
    this.#sink = sink;
    this.#buffer = takeBuffer(0);
    this.#read();
  }

  #read(): void {
    if (this.#closed) return this.#endReading();
    if (this.#paused) {
      this.#isWaiting = true;
      if (this.#writeError !== undefined) this.#close(this.#writeError);
    } else this.#conn.read(this.#buffer!).then(this.#onRead, this.#onRead);
  }

  /** @param result The number of bytes, `null` at the end, or the error. */
  #afterRead(result: unknown): void {
    if (this.#closed) return this.#endReading();
    if (result === null) return this.#afterEnd();
    if (typeof result !== "number") {
      this.#endReading();
      return this.#close(this.#writeError ?? result);
    }
    this.#share -= result;
    if (this.#share > 0) return this.#deliver(result);
    this.#share = BYTES_PER_TURN;
    nextTurn().then(() => this.#closed ? this.#endReading() : this.#deliver(result));
  }

  #deliver(count: number): void {
    const buffer = this.#buffer!;
    this.#sink.onData(count === buffer.length ? buffer : buffer.subarray(0, count), false);
    this.#adapt(count);
    this.#read();
  }

  /** Chooses the buffer for the next read, by what the last ones have filled. */
  #adapt(count: number): void {
    const level = this.#level;
    const size = READ_SIZES[level];
    const burst = this.#burst += count;
    let next = level;
    if (count === size) {
      next = Math.min(level + 1, READ_SIZES.length - 1);
      if (this.#small > 0) this.#small = 0;
    } else if (level > COUNTED_LEVEL || (level === COUNTED_LEVEL && burst <= READ_SIZES[level - 1])) {
      next--;
    } else if (this.#small < 0) {
      next = 0; // the first bytes, such as a handshake, say nothing of those that follow, perhaps in hours
      this.#small = 0;
    } else if (level === 0 || burst > READ_SIZES[level - 1]) {
      this.#small = 0;
    } else if (++this.#small === SMALL_READS) {
      next--;
      this.#small = 0;
    }
    if (count < size) this.#burst = 0;
    if (next === level) return;
    giveBuffer(level, this.#buffer!);
    this.#level = next;
    this.#buffer = takeBuffer(next);
  }

  #afterEnd(): void {
    this.#endReading();
    if (this.#writeError !== undefined) return this.#close(this.#writeError);
    this.#readDone = true;
    this.#sink.onEnd();
    if (this.#writeDone) this.#close();
  }

  /** Gives the buffer back, which the runtime no longer writes to. */
  #endReading(): void {
    if (this.#buffer !== undefined) giveBuffer(this.#level, this.#buffer);
    this.#buffer = undefined;
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    const size = end - start;
    if (owned) this.#chunk = bytes.subarray(start, end);
    else if (size < POOLED_FROM || size > POOLED_SIZE) this.#chunk = copyBytes(bytes, start, end);
    else this.#chunk = this.#copyToPool(bytes, start, end);
    const turn = turnToWrite();
    if (turn === undefined) this.#write();
    else turn.then(() => this.#write());
    return false;
  }

  #copyToPool(bytes: Uint8Array, start: number, end: number): Uint8Array {
    let memory = pool.pop();
    if (memory === undefined) {
      if (pooled === POOL_LIMIT) return copyBytes(bytes, start, end); // allocating that much for a single chunk would cost more
      pooled++;
      memory = new Uint8Array(POOLED_SIZE);
    }
    memory.set(bytes.subarray(start, end));
    this.#memory = memory;
    return memory.subarray(0, end - start);
  }

  #write(): void {
    const callback = spareCallbacks.pop() ?? new WriteCallback();
    callback.lane = this;
    this.#conn.write(this.#chunk!).then(callback.call, callback.call);
  }

  /** @param result The number of bytes written, or the error. */
  afterWrite(result: unknown): void {
    if (typeof result === "number") this.#afterWrite(result);
    else this.#afterFailedWrite(result);
  }

  #afterWrite(count: number): void {
    const chunk = this.#chunk!;
    this.useOutput(count);
    if (count < chunk.length) {
      this.#chunk = chunk.subarray(count);
      return this.#write();
    }
    if (this.#memory !== undefined) pool.push(this.#memory);
    this.#chunk = this.#memory = undefined;
    if (this.isOutputUsedUp) nextTurn().then(() => this.#drain());
    else this.#drain();
  }

  #drain(): void {
    if (!this.#closed) this.#sink.onDrain();
  }

  #afterFailedWrite(error: unknown): void {
    if (this.#memory !== undefined) pooled--; // the runtime may still read the memory
    this.#chunk = this.#memory = undefined;
    // Bytes that the peer sent before it left may still be readable; the error is reported after them.
    if (this.#paused || this.#readDone) this.#close(error);
    else this.#writeError ??= error;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#read();
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
    this.resume(); // nothing is read any more
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

/** The system's codes for a lack of resources. All other errors of `accept()` concern a client that has disconnected. */
const EXHAUSTED = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** After this many accepted connections, others get their turn: the next one may be available at once. */
const ACCEPTS_PER_TURN = 64;

/** Accepts connections until the listener is closed. */
async function acceptAll(
  listener: Deno.Listener,
  { noDelay, accepts }: ListenOptions,
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
      if (!EXHAUSTED.has((error as { code?: string }).code ?? "")) continue; // the client disconnected before it was accepted
      failed(error);
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY));
      continue;
    }
    let pipe: BytePipe;
    try {
      pipe = pipeOf(conn, noDelay);
    } catch {
      continue; // the client has disconnected since
    }
    if (accepts === undefined) accept(pipe);
    else if (!accepts.enter(pipe.remoteAddress, () => (accept(pipe), true))) pipe.abort();
  }
}

/** Makes a pipe of a connection, which is closed if that fails. */
function pipeOf(conn: Deno.Conn, noDelay: boolean): BytePipe {
  try {
    if (noDelay && "setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
    return new DenoPipe(conn);
  } catch (error) {
    close(conn);
    throw error;
  }
}

/** Adds the missing code to Deno's error for an unknown host name. */
function explain(error: unknown, hostname: string): unknown {
  if (!(error instanceof Error) || !error.message.startsWith("failed to lookup address")) return error;
  return Object.assign(new Error(`cannot find ${hostname}`, { cause: error }), { code: "ENOTFOUND" });
}

async function connect(options: ConnectOptions): Promise<BytePipe> {
  const { localHostname, localPort, tls, proxy, noDelay, signal } = options;
  if (tls !== undefined || proxy !== undefined || localHostname !== undefined || localPort !== undefined) {
    // Deno's own TLS does not accept self-signed certificates and cannot be cancelled, and its TCP cannot bind an address. TLS
    // over an existing connection, through a proxy, also needs node:tls.
    return (await import("./node.ts")).runtime.connect(options);
  }
  signal.throwIfAborted();
  return pipeOf(await dial(options), noDelay);
}

/** How long a connection that is no longer wanted has to arrive, in milliseconds. */
const ABORT_GRACE = 1000;

/**
 * Opens a connection. Rejects as soon as it is not wanted, and closes it when it arrives after that. The runtime is told only
 * later: when it is told of an abort just as the connection arrives, it rejects, and nobody has the connection or can close it.
 */
function dial({ transport, hostname, port, signal }: ConnectOptions): Promise<Deno.Conn> {
  const aborter = new AbortController();
  const dialing: Promise<Deno.Conn> = transport === "unix"
    ? Deno.connect({ transport, path: hostname })
    : Deno.connect({ hostname, port, signal: aborter.signal });
  return new Promise((resolve, reject) => {
    let grace: ReturnType<typeof setTimeout> | undefined;
    const onAbort = () => {
      grace = setTimeout(() => aborter.abort(), ABORT_GRACE);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort);
    const settle = (settled: () => void) => {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(grace);
      settled();
    };
    dialing.then(
      (conn) => settle(() => signal.aborted ? close(conn) : resolve(conn)),
      (error) => settle(() => reject(explain(error, hostname))),
    );
  });
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It is already closed.
  }
}

/** A pipe that creates its addresses on demand. */
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

/** The adapter for Deno. */
export const runtime: Runtime = {
  name: "deno",
  pid: Deno.pid,
  async listen(options, accept, failed): Promise<Listener> {
    const { keepAlive, preambles, reusePort, shared, tls } = options;
    if ([tls, preambles, shared, keepAlive].some((option) => option !== undefined) || reusePort) {
      // Deno's own TLS connections cannot be dropped during the handshake: a peer that never completes it would hold the socket
      // without limit. node:tls can drop them and is not slower. Also, Deno's reusePort needs an unstable flag, and its keepAlive
      // cannot be given a time. Only the adapter for Node reads preambles, and has sockets that can be sent to other processes.
      return (await import("./node.ts")).runtime.listen(options, accept, failed);
    }
    const listener = open(options);
    const done = acceptAll(listener, options, accept, failed);
    let closed = false;
    return {
      address: addressOf(listener.addr)!,
      close: () => {
        if (!closed) listener.close();
        closed = true;
        options.accepts?.flush();
        return done; // only then is the port free
      },
    };
  },
  connect,
  ...common,
};
