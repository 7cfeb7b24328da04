/**
 * The interface that an adapter implements, one file in `adapters/` per runtime. No other code knows a runtime.
 *
 * @module
 */

import type { Address } from "./address.ts";
import type { ContentCoding, ContentEncoder, DeflateEngine } from "./codecs.ts";
import type { FileSink, FileSource, FolderEntry, WriteOptions } from "./file_pieces.ts";
import type { AcceptGate, HandshakeGate, Preamble, PreambleGate } from "./gates.ts";
import type { ProcessControl, SharedListener, SharedListening } from "./processes.ts";

export type { AcceptGate, Address, HandshakeGate, Preamble, PreambleGate };

/** The memory of a process, in bytes. */
export interface MemoryUsage {
  /** What the system has given to the process, and keeps in memory. */
  readonly rss: number;
  /** The size of the heap of the engine. */
  readonly heapTotal: number;
  /** The part of the heap that is in use. */
  readonly heapUsed: number;
  /** Memory outside of the heap that objects in it refer to, such as buffers. */
  readonly external: number;
}

/**
 * A connection as two byte streams. Any pair of streams can be served: a TCP socket, TLS, a unix socket, or two
 * `TransformStream`s in a test.
 *
 * @example Serve a pair of streams without a network
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
  /** The bytes that the peer sends. */
  readonly readable: ReadableStream<Uint8Array>;
  /** The bytes to send to the peer. */
  readonly writable: WritableStream<Uint8Array>;
  /** The address of this side, if known. */
  readonly localAddress?: Address | undefined;
  /** The address of the peer, if known. */
  readonly remoteAddress?: Address | undefined;
  /** The certificate that the peer presented over TLS, in PEM; for clients, only if the server requests one. */
  readonly peerCertificate?: string | undefined;
  /**
   * Whether the peer is a proxy that has not told an IP address of its client. What the client sends is then not the word of the
   * proxy.
   */
  readonly hidesClient?: boolean | undefined;
  /** A faster way to the same bytes. A caller that uses the lane must not use the two streams. */
  readonly lane?: Lane | undefined;
  /**
   * Aborts the connection at once, in both directions. Called after both streams were cancelled, so it may find the connection
   * closed: what it throws is ignored.
   */
  abort(): void;
}

/** A receiver of the events of a lane. */
export interface LaneSink {
  /**
   * Receives bytes.
   *
   * @param chunk The bytes. They are lent for the length of the call: the sink may change them, and must copy any that it keeps.
   * @param given Whether the memory now belongs to the sink: the runtime made it for this chunk only.
   */
  onData(chunk: Uint8Array, given: boolean): void;
  /** Called when the peer will not send any more (FIN). It may still read. */
  onEnd(): void;
  /** Called when everything written has been taken, after a `write()` that returned `false`. */
  onDrain(): void;
  /**
   * Called once, when the connection is gone. No other call follows.
   *
   * @param error The error that broke the connection, if any.
   */
  onClose(error?: unknown): void;
  /**
   * Called when the pipe has delivered something that is no bytes, which is an error of the program and not of the transport.
   *
   * @param error The description of it.
   */
  onFault?(error: unknown): void;
}

/** A way to move the bytes of a connection: a `StreamLane` over any pair of streams, or a native lane of an adapter. */
export interface Lane {
  /** Whether the peer can distinguish an `abort()` from an orderly end. */
  readonly canReset: boolean;
  /** The size in bytes of the memory that it holds for reading, because the peer has sent much. 0 by default. */
  readonly heldBytes?: number;
  /** Starts to read. The sink is not called before `start()` has returned. */
  start(sink: LaneSink): void;
  /**
   * Sends bytes, in order. Not called again between a `false` and the `onDrain()` that follows it.
   *
   * @param bytes The memory that holds the bytes.
   * @param start The index of the first byte.
   * @param end The index after the last byte.
   * @param owned Whether the memory never changes, so that the lane may refer to it until it is taken, but may not give it away.
   * If `false`, the memory is valid only during the call.
   * @returns `true` if all bytes have been taken, `false` if the next write has to wait for `onDrain()`.
   */
  write(bytes: Uint8Array, start: number, end: number, owned: boolean): boolean;
  /** Stops reading, so that the peer experiences backpressure. */
  pause(): void;
  /** Resumes reading. */
  resume(): void;
  /** Ends the sending side (FIN) after the bytes written so far. Reading continues. */
  end(): void;
  /** Aborts the connection, with a reset if the runtime can send one. `onClose()` follows. */
  abort(): void;
}

/** A version of TLS. */
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/**
 * The TLS options that servers and clients share. The runtime chooses those that are left out, and refuses those it does not
 * support.
 */
export interface TlsChoices {
  /** The oldest accepted version. */
  readonly minVersion?: TlsVersion | undefined;
  /** The newest accepted version. */
  readonly maxVersion?: TlsVersion | undefined;
  /** The accepted cipher suites, in OpenSSL's syntax. */
  readonly ciphers?: string | undefined;
}

/** A certificate with its private key. */
export interface KeyPair {
  /** The certificate chain, PEM. */
  readonly cert: string;
  /** The private key, PEM. */
  readonly key: string;
  /** The passphrase of the key, if it is encrypted. */
  readonly passphrase?: string | undefined;
}

/** The requirements of a server for client certificates. */
export interface ClientCertificates {
  /** Whether clients need a trusted certificate. If `false`, a certificate is requested but not checked. */
  readonly required: boolean;
  /** Whether self-signed certificates are accepted. */
  readonly allowSelfSigned: boolean;
  /** The only authorities to trust, in PEM. */
  readonly ca: string;
  /** The maximum number of certificates between a client's and a trusted authority; by default, the limit of the runtime. */
  readonly depth?: number | undefined;
}

/** The TLS options of a server. */
export interface TlsOptions extends KeyPair, TlsChoices {
  /** Whether the server's order of `ciphers` takes precedence over the client's. */
  readonly preferServerCiphers?: boolean | undefined;
  /** The accepted groups for the key exchange: names separated by `:`. */
  readonly curves?: string | undefined;
  /** The parameters of the Diffie-Hellman key exchange, in PEM. */
  readonly dhParameters?: string | undefined;
  /** The handling of client certificates. By default, clients are not asked for one. */
  readonly clients?: ClientCertificates | undefined;
  /** Further certificates by the host name that a client requests (SNI), in lower case; a leading `*.` matches any one label. */
  readonly names?: ReadonlyMap<string, KeyPair> | undefined;
}

/** Where and how to listen. */
export interface ListenOptions {
  /** The kind of transport. */
  readonly transport: "tcp" | "unix";
  /** The address to bind; for `unix`, the path. */
  readonly hostname: string;
  /** The port number; 0 picks a free one. */
  readonly port: number;
  /** The maximum number of connections waiting to be accepted, if the runtime supports it. */
  readonly backlog: number;
  /** Whether to send small chunks at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** The idle time in milliseconds after which to probe silent peers (SO_KEEPALIVE). TCP only; off by default. */
  readonly keepAlive?: number | undefined;
  /** Whether other sockets may listen on the same port (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined;
  /** The TLS options, to listen with TLS. */
  readonly tls?: TlsOptions | undefined;
  /** The maximum duration of a TLS handshake, and of a preamble, in milliseconds; 0 means no limit. Any number is safe. */
  readonly handshakeTimeout: number;
  /** The gate for new connections, before anything is read from them. By default, all begin at once. */
  readonly accepts?: AcceptGate | undefined;
  /** The gate for preambles, if connections begin with one. */
  readonly preambles?: PreambleGate | undefined;
  /** The gate for TLS handshakes. By default, all clients may start one. */
  readonly gate?: HandshakeGate | undefined;
  /** Where connections come from in a server with several workers. */
  readonly shared?: SharedListening | undefined;
}

/** A listening socket. */
export interface Listener extends SharedListener {
  /** The address it listens on, with the actual port. */
  readonly address: Address;
  /** Stops accepting. Open connections are not closed. The promise, if any, resolves once the address is free. */
  close(): void | Promise<void>;
  /**
   * Prepares other TLS options, for a listener with TLS. Connections that are established keep theirs.
   *
   * @param options The options, which differ from the previous ones in the content of their certificates only.
   * @returns A function that uses them for connections from then on, and does not throw.
   * @throws {Error} If they cannot be used. The listener goes on with the previous ones.
   */
  prepareTls?(options: TlsOptions): () => void;
}

/** Where to receive datagrams. */
export interface DatagramOptions {
  /** 4 for IPv4, 6 for IPv6. */
  readonly family: 4 | 6;
  /** The address to bind. */
  readonly hostname: string;
  /** The port number; 0 picks a free one. */
  readonly port: number;
  /** Whether other sockets may be bound to the same port (SO_REUSEPORT), if the runtime supports it. */
  readonly reusePort: boolean;
}

/** A socket that sends and receives datagrams. */
export interface DatagramSocket {
  /** The address it is bound to, with the actual port. */
  readonly address: { readonly hostname: string; readonly port: number };
  /**
   * Sends a datagram. The promise resolves once the system has taken it, which does not mean that it arrives.
   *
   * @param data The bytes, which must not change until the promise has settled.
   * @param hostname The IP address of the receiver.
   * @param port The port of the receiver.
   * @throws {Error} With the system's code as its `code` (`EMSGSIZE`, `ENETUNREACH`, …).
   */
  send(data: Uint8Array, hostname: string, port: number): Promise<void>;
  /** Stops receiving. Pending datagrams are still sent; the promise resolves once the address is free. */
  close(): Promise<void>;
}

/** The TLS options of a client. */
export interface ConnectTls extends TlsChoices {
  /** The host name to request (SNI; not sent for an IP address) and to expect in the server's certificate. */
  readonly serverName: string;
  /** Whether to check the certificate; `false` accepts any. */
  readonly verifyPeer: boolean;
  /** Whether to accept a self-signed certificate if its name and dates are valid (`ssl_allow_self_signed`). */
  readonly allowSelfSigned: boolean;
  /** The authorities to trust instead of those of the runtime, in PEM. */
  readonly ca?: string | undefined;
  /** The client's certificate chain in PEM, for a server that requests one. */
  readonly cert?: string | undefined;
  /** The private key of `cert`, in PEM. */
  readonly key?: string | undefined;
  /** The passphrase of `key`, if it is encrypted. */
  readonly passphrase?: string | undefined;
  /** The maximum number of certificates between the server's and a trusted authority; by default, the limit of the runtime. */
  readonly depth?: number | undefined;
}

/** The exchange with a proxy that opens a connection through it. */
export interface ProxyHandshake {
  /** Returns the first bytes to send to the proxy. */
  begin(): Uint8Array;
  /**
   * Receives bytes from the proxy.
   *
   * @param chunk The bytes.
   * @returns The bytes to send next, possibly none; `true` once the connection leads to the server; or the reason why it cannot.
   */
  receive(chunk: Uint8Array): Uint8Array | true | Error;
}

/** Where and how to connect. */
export interface ConnectOptions {
  /** The kind of transport. */
  readonly transport: "tcp" | "unix";
  /** A host name, all of whose addresses are tried, or an IP address without brackets; for `unix`, the path. */
  readonly hostname: string;
  /** The port number; 0 for `unix`. */
  readonly port: number;
  /** Whether to send small chunks at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** The IP address to connect from. Any by default; not for `unix`. */
  readonly localHostname?: string | undefined;
  /** The port to connect from. Any by default; not for `unix`. */
  readonly localPort?: number | undefined;
  /** The exchange with the proxy at `hostname` and `port`, if that is a proxy. It precedes everything else, including TLS. */
  readonly proxy?: ProxyHandshake | undefined;
  /** The TLS options, to connect with TLS. */
  readonly tls?: ConnectTls | undefined;
  /** Cancels the attempt: the promise rejects with its reason and no socket stays open. No effect once the pipe exists. */
  readonly signal: AbortSignal;
}

/** A signal that asks a program to end (SIGINT, SIGTERM) or to start its workers anew (SIGUSR1, SIGUSR2). */
export type SignalName = "SIGINT" | "SIGTERM" | "SIGUSR1" | "SIGUSR2";

/** Access to the signals and the exit of the process. */
export interface SignalControl {
  /**
   * Calls a listener for each signal of a name, before other listeners. The signal then has no default effect. Does not keep the
   * program alive.
   *
   * @returns A function that removes the listener.
   */
  listen(name: SignalName, listener: () => void): () => void;
  /** Returns the number of listeners, including those of the program as far as they are visible. */
  count(name: SignalName): number;
  /** Sets the exit code for any way in which the process ends, unless the program has set one. */
  failWith(code: number): void;
  /** Exits the process at once, with the given code or else the one that was set. */
  exit(code?: number): void;
}

/** Functions that an adapter may provide because its runtime has them in native code: the `native` of a `Runtime`. */
export interface NativeFunctions {
  /** Decodes bytes from `start` to `end` as Latin-1. */
  latin1?(bytes: Uint8Array, start: number, end: number): string;
  /**
   * Writes a text as UTF-8, from `at` on, where there is room for three bytes for each UTF-16 unit. A lone surrogate becomes U+FFFD.
   *
   * @returns The number of bytes.
   */
  writeUtf8?(text: string, memory: Uint8Array, at: number): number;
  /** Returns the SHA-1 digest of an ASCII text as Base64. */
  sha1?(text: string): string;
  /** Calls back when all microtasks are done, those included that they queue. Called in a microtask. */
  afterMicrotasks?(work: () => void): void;
  /** Takes the body of a response that is complete in memory, or returns `undefined`. */
  takeWholeBody?(response: Response): Uint8Array | Promise<Uint8Array> | undefined;
}

/** The functions that an adapter provides. */
export interface Runtime {
  /** The name, for display. */
  readonly name: string;
  /** The process ID. */
  readonly pid: number;
  /**
   * Starts to listen.
   *
   * @param options Where and how to listen.
   * @param accept Called for each new connection.
   * @param failed Called if accepting fails later, for example because no descriptors are left. Accepting continues.
   * @throws The error of the runtime: the port is in use, a certificate is invalid, a TLS option is not supported.
   */
  listen(options: ListenOptions, accept: (pipe: BytePipe) => void, failed: (error: unknown) => void): Promise<Listener>;
  /**
   * Starts to receive datagrams (UDP), if the runtime can.
   *
   * @param options Where to receive.
   * @param receive Called for each datagram, with the address and port of its sender. The memory belongs to the callee.
   * @param failed Called for errors that occur later. Receiving continues.
   * @throws The error of the runtime: the port is in use.
   */
  listenDatagram?(
    options: DatagramOptions,
    receive: (data: Uint8Array, hostname: string, port: number) => void,
    failed: (error: unknown) => void,
  ): Promise<DatagramSocket>;
  /**
   * Connects. Bytes that arrive are kept until the lane of the pipe is started, however late that is.
   *
   * @param options Where and how to connect.
   * @returns The connection, once TCP and TLS are established.
   * @throws The reason of the signal, the error that the handshake with the proxy returned, or an `Error` with a `code`: of the
   * system (`ECONNREFUSED`, `ENOTFOUND`, `ENOENT`, `ECONNRESET`, …); of the certificate, as named by OpenSSL and Node
   * (`CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`, `ERR_TLS_CERT_ALTNAME_INVALID`, …; `UNABLE_TO_VERIFY_LEAF_SIGNATURE` also
   * if the runtime gives no details); or of TLS (`ERR_SSL_…`, `ERR_TLS_OPTION` for options that are invalid or not supported by
   * the runtime).
   */
  connect(options: ConnectOptions): Promise<BytePipe>;
  /** Whether `listen()` reads preambles. Without it, ports that need them do not start. */
  readonly readsPreambles?: boolean;
  /** Functions that the runtime has in native code. */
  readonly native?: NativeFunctions;
  /** Returns the memory in bytes that the process may use, by its machine or container; `undefined` if unknown. */
  memoryLimit?(): number | undefined;
  /** Returns the memory that the process uses, in bytes. */
  memoryUsage?(): MemoryUsage;
  /** Other processes with the same program. Without it, servers have no workers. */
  readonly processes?: ProcessControl;
  /** The signals that stop servers, if the runtime has any. */
  readonly signals?: SignalControl;
  /** Calls back once the ready sockets and timers have been handled, if the runtime can do that sooner than `setTimeout()`. */
  nextTurn?(work: () => void): void;
  /** The engine for message compression, if the runtime has a better one than the web's streams. */
  readonly deflate?: DeflateEngine;
  /**
   * Creates an encoder for the body of a response, if the runtime can compress synchronously.
   *
   * @param coding `br`, `gzip` or `deflate` (zlib's format).
   * @param level From 1, fast, to 9, small; for Brotli from 0 to 11.
   * @param whole Whether the body comes in one piece, with nothing else compressed in between.
   * @returns The encoder, or `undefined` if that does not work.
   */
  encoder?(coding: ContentCoding, level: number, whole: boolean): ContentEncoder | undefined;
  /**
   * Creates a pair of streams that decodes a content coding, if the runtime can; `deflate` is zlib's format. A gzip body may have
   * several members (RFC 1952 section 2.2). A truncated body and bytes after the end are errors.
   */
  decompressor?(coding: "br" | "gzip" | "deflate" | "deflate-raw"): Pick<BytePipe, "readable" | "writable">;
  /** Reads a text file; throws as `openFile()`. */
  readTextFile(path: string): Promise<string>;
  /** Appends text to a file, creating it if necessary. A named pipe without a reader is an error, instead of a wait for one. */
  appendTextFile(path: string, text: string): Promise<void>;
  /** Writes a text file in place of the one there is, which others may read meanwhile. A named pipe without a reader is an error. */
  writeTextFile(path: string, text: string): Promise<void>;
  /** Removes a file, if it exists. */
  removeFile(path: string): Promise<void>;
  /**
   * Opens a file for reading.
   *
   * @throws {Error} With the system's code as its `code` (`ENOENT`, `EACCES`, …), `EISDIR` for a folder, `EINVAL` for a device, a
   * pipe or a socket.
   */
  openFile(path: string): Promise<FileSource>;
  /**
   * Opens a file for writing, creating it if necessary.
   *
   * @throws {Error} With the system's code as its `code` (`ENOENT`, `EACCES`, …), `EEXIST` with `isNew`.
   */
  openForWriting(path: string, options?: WriteOptions): Promise<FileSink>;
  /** Moves a file, also to another disk, replacing an existing one. It gets the permissions of a new file. */
  moveFile(from: string, to: string): Promise<void>;
  /** Returns a file as a `Blob` that reads the content on demand. Must not be used after the file has changed. */
  fileBlob(path: string): Promise<Blob>;
  /** Returns the absolute path of a file or folder with all links resolved; throws as `openFile()`. */
  realPath(path: string): Promise<string>;
  /** Returns the entries of a folder; throws as `openFile()`. */
  readFolder(path: string): Promise<readonly FolderEntry[]>;
}
