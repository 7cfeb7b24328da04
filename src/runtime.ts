/**
 * The port: what a runtime has to provide. `adapters/` implement it, one file for each; nothing else knows a runtime.
 *
 * @module
 */

import type { ContentCoding, ContentEncoder } from "./http/content_coding.ts";
import type { DeflateEngine } from "./websocket/deflate/engine.ts";

/** One end of a connection. */
export interface Address {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** The IP address; for `unix` the path, empty for an unnamed client. */
  readonly hostname: string;
  /** The port; 0 for `unix`. */
  readonly port: number;
}

/**
 * A connection as two byte streams: whatever has these two can be served, be it a TCP socket, TLS, a unix socket or two
 * `TransformStream`s in a test.
 *
 * @example Serve a pair of streams, no network needed
 * ```ts
 * import { type BytePipe, HttpServer } from "@sluice/server";
 * import { assert } from "@std/assert";
 *
 * const server = new HttpServer();
 * server.on("request", (_request, response) => response.end("hello"));
 *
 * const up = new TransformStream<Uint8Array, Uint8Array>();
 * const down = new TransformStream<Uint8Array, Uint8Array>();
 * const pipe: BytePipe = { readable: up.readable, writable: down.writable, abort() {} };
 * server.accept(pipe);
 *
 * const writer = up.writable.getWriter();
 * writer.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
 * const answer = await new Response(down.readable).text();
 * assert(answer.endsWith("hello"));
 * writer.close();
 * ```
 */
export interface BytePipe {
  /** What the peer sends. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What goes to the peer. */
  readonly writable: WritableStream<Uint8Array>;
  /** This side's address, where there is one. */
  readonly localAddress?: Address | undefined;
  /** The peer's address, where there is one. */
  readonly remoteAddress?: Address | undefined;
  /** The certificate that the peer showed over TLS, PEM; of clients only where they are asked for one. */
  readonly peerCertificate?: string | undefined;
  /** A faster way to the same octets. Whoever uses it leaves the two streams alone. */
  readonly lane?: Lane | undefined;
  /** Drops the connection at once, both directions. */
  abort(): void;
}

/** Receives what happens on a lane. */
export interface LaneSink {
  /**
   * Bytes arrived.
   *
   * @param chunk The bytes. They are lent for the length of the call: the sink may change them, and copies what it keeps.
   * @param given Whether the memory is the sink's for good: the runtime made it for this chunk and for nobody else.
   */
  onData(chunk: Uint8Array, given: boolean): void;
  /** The peer will not send any more (FIN); it may still read. */
  onEnd(): void;
  /** Everything written has been taken; after a `write()` that returned `false`. */
  onDrain(): void;
  /**
   * The connection is gone. Called once, nothing follows.
   *
   * @param error What broke it, if something did.
   */
  onClose(error?: unknown): void;
}

/** How a connection moves bytes. Made from any pair of streams by `StreamLane`, or natively by an adapter. */
export interface Lane {
  /** Whether the peer can tell an `abort()` from an orderly end. */
  readonly canReset: boolean;
  /** Begins to read. Nothing is called before, and nothing from inside of it. */
  start(sink: LaneSink): void;
  /**
   * Sends bytes, in order. Not called again between a `false` and the `onDrain()` that follows it.
   *
   * @param bytes Where the bytes are.
   * @param start Index of the first one.
   * @param end Index behind the last one.
   * @param owned Whether the memory never changes, so that the lane may refer to it until it is taken. It is not the lane's to
   * give away. If `false`, it is valid during the call only.
   * @returns `true` when all of it has been taken, `false` when the next write has to wait for `onDrain()`.
   */
  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean;
  /** Stops reading, so that the peer feels it. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Ends the sending side (FIN) after what was written; reading goes on. */
  end(): void;
  /** Drops the connection, with a reset where the runtime has one. `onClose()` follows. */
  abort(): void;
}

/** A version of TLS. */
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** What either end may choose of TLS. What is left out is the runtime's own choice; what it cannot do, it refuses. */
export interface TlsChoices {
  /** The oldest version that will do. */
  readonly minVersion?: TlsVersion | undefined;
  /** The newest version that will do. */
  readonly maxVersion?: TlsVersion | undefined;
  /** The cipher suites that will do, as OpenSSL writes them. */
  readonly ciphers?: string | undefined;
}

/** A certificate with its key. */
export interface KeyPair {
  /** The certificate chain, PEM. */
  readonly cert: string;
  /** The private key, PEM. */
  readonly key: string;
  /** What the key is encrypted with, if it is. */
  readonly passphrase?: string | undefined;
}

/** What a server wants of the certificates of its clients. */
export interface ClientCertificates {
  /** Whether only clients get in whose certificate is trusted. Otherwise they are asked for one, and it is not checked. */
  readonly required: boolean;
  /** Whether a certificate that is signed by its own key will do. */
  readonly allowSelfSigned: boolean;
  /** The authorities to trust, and no others; PEM. */
  readonly ca: string;
  /** The most certificates between that of a client and a trusted authority; what the runtime has unless given. */
  readonly depth?: number | undefined;
}

/** How a server speaks TLS. */
export interface TlsOptions extends KeyPair, TlsChoices {
  /** Whether the order of `ciphers` counts, rather than the client's. */
  readonly preferServerCiphers?: boolean | undefined;
  /** The groups of the key exchange that will do, names with `:` between them. */
  readonly curves?: string | undefined;
  /** The parameters of the Diffie-Hellman key exchange, PEM. */
  readonly dhParameters?: string | undefined;
  /** What to do about the certificates of clients; they are not asked for any unless given. */
  readonly clients?: ClientCertificates | undefined;
  /** Other certificates by the name that a client asks for (SNI), in lower case; `*.` in front for any one label. */
  readonly names?: ReadonlyMap<string, KeyPair> | undefined;
}

/** Where and how to listen. */
export interface ListenOptions {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** The address to bind; for `unix` the path. */
  readonly hostname: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  /** How many connections may wait to be accepted, where the runtime lets one say. */
  readonly backlog: number;
  /** Send small chunks at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** Find out whether silent peers are still there (SO_KEEPALIVE) after so many milliseconds; TCP only. Not at all by default. */
  readonly keepAlive?: number | undefined;
  /** Whether other sockets may listen on the same port (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined;
  /** TLS, if wanted. */
  readonly tls?: TlsOptions | undefined;
  /** How long a TLS handshake may take, in milliseconds; 0 for ever. Any number is safe. */
  readonly handshakeTimeout: number;
}

/** A listening socket. */
export interface Listener {
  /** Where it listens; with the real port. */
  readonly address: Address;
  /** Stops accepting. Open connections live on. A promise, if any, settles once the address is free. */
  close(): void | Promise<void>;
}

/** Where to receive datagrams. */
export interface DatagramOptions {
  /** 4 for IPv4, 6 for IPv6. */
  readonly family: 4 | 6;
  /** The address to bind. */
  readonly hostname: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  /** Whether other sockets may be bound to the same port (SO_REUSEPORT), where the runtime lets one say. */
  readonly reusePort: boolean;
}

/** A socket that datagrams arrive at, and leave from. */
export interface DatagramSocket {
  /** Where it is bound; with the real port. */
  readonly address: { readonly hostname: string; readonly port: number };
  /**
   * Sends a datagram. Settles when the system has taken it, which does not say that it arrives.
   *
   * @param data The octets, which nobody changes meanwhile.
   * @param hostname The IP address of the receiver.
   * @param port Its port.
   * @throws An `Error` whose `code` is the system's (`EMSGSIZE`, `ENETUNREACH`, …).
   */
  send(data: Uint8Array, hostname: string, port: number): Promise<void>;
  /** Receives no more. What is being sent still goes; the promise settles once the address is free. */
  close(): Promise<void>;
}

/** How a client speaks TLS. */
export interface ConnectTls extends TlsChoices {
  /** The name the server is asked for (SNI; not sent when it is an IP address) and its certificate has to be for. */
  readonly serverName: string;
  /** Whether the certificate is checked; `false` takes any. */
  readonly verifyPeer: boolean;
  /** Whether a certificate that is signed by its own key will do when name and dates are right (`ssl_allow_self_signed`). */
  readonly allowSelfSigned: boolean;
  /** The authorities to trust instead of the runtime's own, PEM. */
  readonly ca?: string | undefined;
  /** The client's certificate chain, PEM, for a server that asks for one. */
  readonly cert?: string | undefined;
  /** The private key of `cert`, PEM. */
  readonly key?: string | undefined;
  /** What `key` is encrypted with, if it is. */
  readonly passphrase?: string | undefined;
  /** The most certificates between the server's and a trusted authority; what the runtime has unless given. */
  readonly depth?: number | undefined;
}

/** What is said to a proxy before a connection to it is one through it. */
export interface ProxyHandshake {
  /** What is said first. */
  begin(): Uint8Array;
  /**
   * Takes what the proxy has said.
   *
   * @returns What is said to that, which may be nothing yet; `true` when the connection leads to the server from now on; why it
   * will not.
   */
  receive(chunk: Uint8Array): Uint8Array | true | Error;
}

/** Where and how to connect. */
export interface ConnectOptions {
  /** `tcp` or `unix`. */
  readonly transport: "tcp" | "unix";
  /** A name, all of whose addresses are tried, or an IP address without brackets; for `unix` the path. */
  readonly hostname: string;
  /** The port; 0 for `unix`. */
  readonly port: number;
  /** Send small chunks at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** The IP address to connect from, if it matters. Not for `unix`. */
  readonly localHostname?: string | undefined;
  /** The port to connect from, if it matters. Not for `unix`. */
  readonly localPort?: number | undefined;
  /** What is said to a proxy before anything else, TLS included, if host and port are one's. */
  readonly proxy?: ProxyHandshake | undefined;
  /** TLS, if wanted. */
  readonly tls?: ConnectTls | undefined;
  /** Gives up: the promise rejects with its reason, and no socket is left behind. Without effect on a pipe that is there. */
  readonly signal: AbortSignal;
}

/** A file that is open for reading. */
export interface FileSource {
  /** How many octets it had when it was opened. */
  readonly size: number;
  /** When it was last changed, in milliseconds since 1970. */
  readonly mtime: number;
  /**
   * Reads. One read at a time, and none after `close()`.
   *
   * @param at Where in the file to begin.
   * @param into Where the octets go.
   * @returns How many there were; fewer than asked for is no sign of the end, 0 is.
   */
  read(at: number, into: Uint8Array): Promise<number>;
  /** Closes it. Once. */
  close(): Promise<void>;
}

/** How a file is opened for writing. */
export interface WriteOptions {
  /** There may not be one of that name yet, and nobody else may read it: for temporary files. `false`. */
  readonly isNew?: boolean | undefined;
  /** Where in the file to begin; what is in front of it stays. With 0, the default, the file is emptied first. */
  readonly offset?: number | undefined;
}

/** A file that is open for writing. */
export interface FileSink {
  /**
   * Writes octets behind those before, all of them. One write at a time, and none after `close()`.
   *
   * @param bytes The octets; not to be changed until the promise has settled.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes it. Once. */
  close(): Promise<void>;
}

/** Something in a folder. */
export interface FolderEntry {
  /** Its name, without the path. */
  readonly name: string;
  /** Whether it is a folder. */
  readonly isFolder: boolean;
}

/** A signal that asks a program to end. */
export type SignalName = "SIGINT" | "SIGTERM";

/** The signals of the process, and its end. */
export interface SignalControl {
  /**
   * Calls back for each signal of a name, which then does nothing else, before other listeners. Does not keep the program alive.
   *
   * @returns Ends that.
   */
  listen(name: SignalName, listener: () => void): () => void;
  /** How many listeners there are, the program's own included as far as they can be seen. */
  count(name: SignalName): number;
  /** Chooses the exit code of the process, however it ends, unless the program has chosen one. */
  failWith(code: number): void;
  /** Ends the process at once; with the code that was chosen unless another one is given. */
  exit(code?: number): void;
}

/** What an adapter provides. */
export interface Runtime {
  /** The name, for people. */
  readonly name: string;
  /** The number that the system knows this program by. */
  readonly pid: number;
  /**
   * Listens.
   *
   * @param options Where and how.
   * @param accept Called for each new connection.
   * @param failed Called when accepting fails later on, for example because no descriptors are left; accepting goes on.
   * @throws What the runtime throws: a taken port, a bad certificate, something of TLS that it cannot do.
   */
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener>;
  /**
   * Receives datagrams (UDP), where the runtime can.
   *
   * @param options Where.
   * @param receive Called for each datagram, with the address and the port it came from. The memory is the callee's.
   * @param failed Called when something goes wrong later on; receiving goes on.
   * @throws What the runtime throws: a taken port.
   */
  listenDatagram?(
    options: DatagramOptions,
    receive: (data: Uint8Array, hostname: string, port: number) => void,
    failed: (error: unknown) => void,
  ): Promise<DatagramSocket>;
  /**
   * Connects. Nothing that arrives is lost, however late the lane of the pipe is started.
   *
   * @param options Where and how.
   * @returns The connection, once TCP and TLS are established.
   * @throws The reason of the signal, what a proxy's handshake returned, or an `Error` whose `code` tells what failed: the system (`ECONNREFUSED`, `ENOTFOUND`,
   * `ENOENT`, `ECONNRESET`, …), the certificate by the names that OpenSSL and Node have for it (`CERT_HAS_EXPIRED`,
   * `DEPTH_ZERO_SELF_SIGNED_CERT`, `ERR_TLS_CERT_ALTNAME_INVALID`, …; `UNABLE_TO_VERIFY_LEAF_SIGNATURE` also where a runtime
   * does not tell more), or TLS (`ERR_SSL_…`, `ERR_TLS_OPTION` for options that cannot be used, or not in this runtime).
   */
  connect(options: ConnectOptions): Promise<BytePipe>;
  /** Signals that stop servers, if the runtime has any. */
  readonly signals?: SignalControl;
  /**
   * Calls back once the sockets and timers that are ready have had their turn, if the runtime can do that sooner than `setTimeout()`.
   */
  nextTurn?(work: () => void): void;
  /** Compresses, if it can do that better than the web's streams. */
  readonly deflate?: DeflateEngine;
  /**
   * Makes what compresses the body of an answer, if the runtime can do that at once, without waiting.
   *
   * @param coding `br`, `gzip` or `deflate` (which is zlib's format).
   * @param level 1 is fast, 9 is small; of brotli 0 and 11.
   * @param whole Whether the body comes in one piece, and nothing else is compressed in between.
   * @returns `undefined` where that does not work.
   */
  encoder?(coding: ContentCoding, level: number, whole: boolean): ContentEncoder | undefined;
  /**
   * Makes what undoes a content coding, as a pair of streams, if the runtime can do that; `deflate` is zlib's format. A gzip body may have several members (RFC 1952
   * section 2.2); what is cut off, and bytes behind the end, are errors.
   */
  decompressor?(coding: "br" | "gzip" | "deflate" | "deflate-raw"): ReadableWritablePair<Uint8Array, BufferSource>;
  /** Reads a text file. */
  readTextFile(path: string): Promise<string>;
  /** Appends text to a file, which is made when it is missing. */
  appendTextFile(path: string, text: string): Promise<void>;
  /** Writes a text file, in place of what it had. */
  writeTextFile(path: string, text: string): Promise<void>;
  /** Removes a file, if there is one. */
  removeFile(path: string): Promise<void>;
  /**
   * Opens a file for reading.
   *
   * @throws An `Error` whose `code` is the system's (`ENOENT`, `EACCES`, …), `EISDIR` for a folder, `EINVAL` for a device, a pipe
   * or a socket.
   */
  openFile(path: string): Promise<FileSource>;
  /**
   * Opens a file for writing, and makes it when there is none.
   *
   * @throws An `Error` whose `code` is the system's (`ENOENT`, `EACCES`, …), `EEXIST` with `isNew`.
   */
  openForWriting(path: string, options?: WriteOptions): Promise<FileSink>;
  /** Moves a file, also to another disk, in place of one that is there. It has the rights of a new file then. */
  moveFile(from: string, to: string): Promise<void>;
  /** The content of a file as a `Blob` that reads it when it is asked for. Not to be used when the file has changed. */
  fileBlob(path: string): Promise<Blob>;
  /** The absolute path of a file or folder without links in it; throws as `openFile()`. */
  realPath(path: string): Promise<string>;
  /** What is in a folder; throws as `openFile()`. */
  readFolder(path: string): Promise<readonly FolderEntry[]>;
}

let loader: (() => Promise<Runtime>) | undefined;
let loaded: Runtime | undefined;
let chosen: Runtime | undefined;

/**
 * Chooses the adapter that servers use, instead of the one of the runtime that the program is in.
 *
 * @param runtime The adapter, for example `runtime` of `@sluice/server/node`, which runs on `node:net` in all runtimes.
 *
 * @example
 * ```ts
 * import { setRuntime } from "@sluice/server";
 * import { runtime } from "@sluice/server/node";
 *
 * setRuntime(runtime);
 * ```
 */
export function setRuntime(runtime: Runtime | undefined): void {
  chosen = runtime;
}

/** Tells how to find the adapter of the runtime that the program is in. Called by the entry points. @internal */
export function setRuntimeLoader(load: () => Promise<Runtime>): void {
  loader = load;
}

/** The adapter in use. @internal */
export async function loadRuntime(): Promise<Runtime> {
  if (chosen !== undefined) return chosen;
  if (loader === undefined) throw new Error("Cannot find the runtime: import mod.ts, or call setRuntime()");
  return loaded ??= await loader();
}

/** Calls back in a later turn of the event loop, once the sockets and timers that are ready have had theirs. @internal */
export function nextTurn(work: () => void): void {
  const runtime = currentRuntime();
  if (runtime?.nextTurn !== undefined) runtime.nextTurn(work);
  else setTimeout(work, 0);
}

/** The adapter in use, if it is there already. @internal */
export function currentRuntime(): Runtime | undefined {
  return chosen ?? loaded;
}
