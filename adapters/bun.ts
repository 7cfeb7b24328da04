/**
 * The adapter for Bun: `Bun.listen`, and `node:net` for outgoing connections.
 *
 * @module
 */

import process from "node:process";
import { sliceBytes } from "../src/transport/bytes.ts";
import { LanePipe } from "../src/transport/pipes.ts";
import type {
  Address,
  BytePipe,
  Lane,
  LaneSink,
  Listener,
  ListenOptions,
  Runtime,
  TlsOptions,
} from "../src/transport/runtime.ts";
import type { BunApi, BunSocket, BunSocketHandlers } from "./bun_api.ts";
import { common } from "./common.ts";
import type { ServerTls } from "./node_tls.ts";
import { sharesPorts, SharingLane } from "./process.ts";
import { adopt, type ArrivedListener, NativeHandle } from "./socket_handles.ts";
import { addressOf, commonAddress, connectionLimit, outOfDescriptors } from "./sockets.ts";

type LaneSocket = BunSocket<BunLane>;
type LaneHandlers = BunSocketHandlers<BunLane>;

/** The longest timeout of a Bun socket, in seconds: longer ones wrap around. 0 means none. */
const LONGEST_TIMEOUT = 4 * 3600;

/** A chunk of at least this size indicates that there is more to read: Bun reads 512 KiB at a time. */
const LARGE_CHUNK = 512 * 1024;

class BunLane extends SharingLane implements Lane {
  readonly #socket: LaneSocket;
  sink: LaneSink | undefined = undefined;
  #rest: Uint8Array | undefined = undefined; // bytes that the kernel has not taken yet
  #ended = false;
  #peerEnded = false;
  #closed = false;
  #held = false;
  #isPaused = false;
  #isResting = false; // while other sockets have their turn
  #error: unknown = undefined;

  constructor(socket: LaneSocket) {
    super();
    this.#socket = socket;
  }

  /** Whether the peer can distinguish an `abort()` from an end. A unix socket, which has no port, always ends the same way. */
  get canReset(): boolean {
    return this.#socket.remotePort !== undefined;
  }

  start(sink: LaneSink): void {
    this.sink = sink;
    if (this.#closed) setImmediate(() => sink.onClose(this.#error)); // it broke before it was started
    else if (this.#held) this.#socket.resume();
  }

  /** Whether the socket is open. */
  get isOpen(): boolean {
    return !this.#closed;
  }

  /** Reads nothing until the lane is started. */
  hold(): void {
    if (this.sink !== undefined || this.#closed) return;
    this.#held = true;
    this.#socket.pause();
  }

  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean {
    if (this.#closed) return false;
    const taken = this.#socket.write(bytes, start, end - start);
    if (taken < 0) return this.#lose();
    const at = start + taken;
    this.useOutput(taken);
    if (at === end) return !this.isOutputUsedUp || this.#pauseOutput();
    this.#rest = owned ? bytes.subarray(at, end) : sliceBytes(bytes, at, end);
    return false;
  }

  /** Reports in a later turn that everything was taken. */
  #pauseOutput(): false {
    setImmediate(() => this.#closed || this.sink?.onDrain());
    return false;
  }

  /** Handles a closed socket. Bun calls `close` by itself, but not while the socket is paused. */
  #lose(): false {
    setImmediate(() => {
      if (!this.#closed) this.#socket.terminate(); // not in this turn: write() may not call onClose()
    });
    return false;
  }

  onDrain(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    const count = this.#socket.write(rest);
    if (count < 0) {
      this.#lose();
    } else if (count < rest.length) {
      this.#rest = rest.subarray(count);
    } else {
      this.#rest = undefined;
      this.sink?.onDrain();
    }
  }

  onData(chunk: Uint8Array): void {
    if (chunk.length < LARGE_CHUNK) return this.sink?.onData(chunk, true);
    // Bun would read the rest in this turn. Other sockets get their turn first, even if the sink pauses and resumes meanwhile.
    this.#isResting = true;
    this.sink?.onData(chunk, true);
    if (!this.#closed) this.#socket.pause();
    setImmediate(() => {
      this.#isResting = false;
      if (!this.#isPaused && !this.#closed) this.#socket.resume();
    });
  }

  pause(): void {
    this.#isPaused = true;
    if (!this.#closed) this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isResting && !this.#closed) this.#socket.resume();
  }

  end(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    this.#socket.shutdown(); // end() would close both directions, and reset a peer that still sends
  }

  abort(): void {
    if (this.#closed) return;
    this.#peerEnded = true; // or taken for it: an end that we cause is none of the peer
    if (this.#ended) this.#socket.end(); // our FIN is sent: the kernel still sends its pending output
    else this.#socket.terminate();
  }

  onEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    this.sink?.onEnd();
  }

  onError(error: unknown): void {
    this.#error = error;
  }

  onClose(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    error ??= this.#error;
    this.#error = error;
    if (error === undefined) this.onEnd(); // Bun omits `end` if our own FIN came first
    this.sink?.onClose(error);
  }
}

class BunPipe extends LanePipe {
  readonly #socket: LaneSocket;
  /** Kept because a socket that was reset no longer knows it, and `close` handlers may need it. */
  readonly remoteAddress: Address;

  readonly #listenAddress: Address | undefined;

  /** @param listenAddress Its local address, if that is known. */
  constructor(socket: LaneSocket, lane: BunLane, listenAddress: Address | undefined) {
    super(lane);
    this.#socket = socket;
    this.#listenAddress = listenAddress;
    this.remoteAddress = addressOf(socket.remoteAddress, socket.remotePort);
  }

  get localAddress(): Address | undefined {
    return this.#listenAddress ?? addressOf(this.#socket.localAddress, this.#socket.localPort);
  }
}

/** The number of open accepted sockets, of all listeners. */
let openSockets = 0;

/** What the handlers of a listener depend on. */
interface Accepting {
  readonly options: ListenOptions;
  readonly accept: (pipe: BytePipe) => void;
  readonly failed: (error: unknown) => void;
  /** The sockets in a TLS handshake. */
  readonly shaking: Shaking;
  /** The local address of all connections, if they have the same. Known once the listener is there. */
  listenAddress?: Address | undefined;
}

/** The sockets of a listener that are in a TLS handshake, with the addresses of their clients. */
class Shaking extends Map<LaneSocket, Address> {
  #waiting: (() => void)[] = [];

  override delete(socket: LaneSocket): boolean {
    const isDeleted = super.delete(socket);
    if (this.size === 0) { for (const resolve of this.#waiting.splice(0)) resolve(); }
    return isDeleted;
  }

  /** Resolves when there are none. */
  settled(): Promise<void> {
    return this.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The handlers of sockets that have been accepted. */
const established: LaneHandlers = {
  data: (socket, chunk) => socket.data.onData(chunk),
  drain: (socket) => socket.data.onDrain(),
  end: (socket) => socket.data.onEnd(),
  close(socket, error) {
    openSockets--;
    socket.data.onClose(error);
  },
  error: (socket, error) => socket.data.onError(error),
  timeout: (socket) => socket.terminate(),
};

/** Counts a socket, unless there are too many: without descriptors, Bun accepts in a busy loop. */
function admit(limit: number, failed: (error: unknown) => void): boolean {
  if (openSockets >= limit) {
    failed(outOfDescriptors(limit));
    return false;
  }
  openSockets++;
  return true;
}

/** Passes a connection on. */
function begin(socket: LaneSocket, { options, accept, listenAddress }: Accepting): void {
  if (options.keepAlive !== undefined) socket.setKeepAlive(true, options.keepAlive);
  accept(new BunPipe(socket, socket.data, listenAddress));
  socket.data.hold();
}

function plainHandlers(accepting: Accepting): LaneHandlers {
  const { options, failed } = accepting;
  const limit = connectionLimit();
  return {
    ...established,
    open(socket) {
      if (!admit(limit, failed)) return void socket.terminate();
      socket.data = new BunLane(socket);
      socket.timeout(0); // Bun.listen() sets 120 s by default, which traffic does not renew
      if (options.transport === "tcp" && !options.noDelay) socket.setNoDelay(false); // Bun enables it by default
      if (options.accepts === undefined) return begin(socket, accepting);
      socket.data.hold();
      const address = addressOf(socket.remoteAddress, socket.remotePort);
      if (!options.accepts.enter(address, () => socket.data.isOpen && (begin(socket, accepting), true))) socket.terminate();
    },
    close(socket, error) {
      if (socket.data !== undefined) established.close!(socket, error);
    },
  };
}

/** Returns the handlers of a listener with TLS. They secure each socket, because `Bun.listen()` cannot renew its certificate. */
function tlsHandlers(accepting: Accepting, secure: ServerTls): LaneHandlers {
  const { options: { accepts, gate, handshakeTimeout }, failed, shaking } = accepting;
  const limit = connectionLimit();
  const seconds = Math.ceil(handshakeTimeout / 1000);
  const uncount = (socket: LaneSocket) => {
    const address = shaking.get(socket);
    shaking.delete(socket);
    if (address !== undefined) gate?.leave(address);
  };
  const secured: LaneHandlers = {
    ...established,
    close(socket, error) {
      uncount(socket);
      established.close!(socket, error);
    },
    handshake(socket, success) {
      if (!success) return socket.terminate();
      uncount(socket);
      socket.timeout(0);
      begin(socket, accepting);
    },
  };
  const refuse = (raw: LaneSocket) => {
    openSockets--;
    raw.terminate();
  };
  const shake = (raw: LaneSocket, address: Address) => {
    if (gate !== undefined && !gate.enter(address)) return refuse(raw);
    const [, socket] = raw.upgradeTLS({ data: undefined, tls: secure.options, isServer: true, socket: secured });
    socket.data = new BunLane(socket);
    shaking.set(socket, address);
    socket.timeout(seconds > LONGEST_TIMEOUT ? 0 : seconds); // a handshake that never completes ends in `timeout`
  };
  const waiting: Set<LaneSocket> = new Set();
  // Without `data`, the socket below does not pass on what is encrypted; one of the two is required.
  return {
    drain() {},
    open(raw) {
      const address = addressOf(raw.remoteAddress, raw.remotePort);
      if (!admit(limit, failed)) return void raw.terminate();
      if (accepts === undefined) return shake(raw, address);
      waiting.add(raw);
      raw.timeout(0);
      raw.pause();
      const begin = () => {
        if (!waiting.delete(raw)) return false; // it is closed
        raw.resume();
        shake(raw, address);
        return true;
      };
      if (!accepts.enter(address, begin) && waiting.delete(raw)) refuse(raw);
    },
    close(raw) {
      if (waiting.delete(raw)) openSockets--;
    },
  };
}

/** Reports whether the TLS options are only a certificate and its key. */
function isPlain({ cert: _cert, key: _key, ...rest }: TlsOptions): boolean {
  return Object.values(rest).every((value) => value === undefined);
}

/** Lets the connections of a listener begin: those that it accepts, or those that come from other processes. */
function sourceOf(options: ListenOptions, handlers: LaneHandlers): Listener {
  const { transport, hostname, port, shared } = options;
  const isUnix = transport === "unix";
  if (shared?.kind === "passed") {
    let isClosed = false;
    return {
      address: addressOf(hostname, isUnix ? undefined : port),
      take(handle) {
        if (isClosed) return handle.close();
        const { native } = handle as NativeHandle<LaneSocket>;
        native.reload({ socket: handlers });
        adopt(native, handlers);
      },
      close: () => void (isClosed = true),
    };
  }
  if (shared !== undefined && isUnix) throw new Error("Cannot listen: a unix socket is not transferable");
  if (shared?.handle !== undefined) {
    const arrived = shared.handle as ArrivedListener;
    const address: { address?: string; port?: number } = {};
    arrived.native.getsockname(address);
    arrived.useNatively(handlers);
    return { address: addressOf(address.address, address.port), handle: arrived, close: () => arrived.close() };
  }
  const { Bun } = globalThis as unknown as { Bun: BunApi };
  const listener = Bun.listen({
    ...(isUnix
      ? { unix: hostname }
      : { hostname, port, reusePort: (options.reusePort ?? false) || (shared !== undefined && sharesPorts) }),
    allowHalfOpen: true,
    socket: handlers,
  });
  const close = () => listener.stop(false);
  return {
    address: addressOf(hostname, isUnix ? undefined : listener.port),
    close,
    ...(shared && { handle: new NativeHandle(listener, true, close) }),
  };
}

/** The adapter for Bun. */
export const runtime: Runtime = {
  name: "bun",
  pid: process.pid,
  async listen(options, accept, failed): Promise<Listener> {
    if (options.preambles !== undefined || (options.tls !== undefined && !isPlain(options.tls))) {
      // Bun ignores half of the other TLS options; node:tls supports them, on the same sockets of Bun. Only the adapter for
      // Node reads preambles.
      return (await import("./node.ts")).runtime.listen(options, accept, failed);
    }
    const accepting: Accepting = { options, accept, failed, shaking: new Shaking() };
    const secure = options.tls && new (await import("./node_tls.ts")).ServerTls(options.tls);
    const handlers = secure === undefined ? plainHandlers(accepting) : tlsHandlers(accepting, secure);
    const source = sourceOf(options, handlers);
    accepting.listenAddress = commonAddress(source.address);
    const { close: stop, ...rest } = source;
    return {
      ...rest,
      close() {
        stop();
        options.accepts?.flush();
        for (const socket of accepting.shaking.keys()) socket.terminate(); // nobody accepts them any more
      },
      ...(options.shared && {
        async release() {
          stop();
          options.accepts?.flush();
          await accepting.shaking.settled();
        },
      }),
      ...(secure && { prepareTls: (renewed: TlsOptions) => secure.prepare(renewed) }),
    };
  },
  // `Bun.connect` cannot be cancelled, so an unresponsive peer would keep the socket and the program alive for minutes, nor can
  // it bind an address. node:net can do both, on the same sockets of Bun.
  connect: async (options) => (await import("./node.ts")).runtime.connect(options),
  ...common,
};
