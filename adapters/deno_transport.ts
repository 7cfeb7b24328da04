/**
 * The transport below `node:tls` in Deno. There, a paused TLS socket continues to read from the network without limit, and loses
 * the end if that arrives meanwhile. Therefore the TLS socket is never paused, but the socket below it is. Deno would read that
 * one natively, bypassing its `pause()`, so a `Transport` is placed between the two.
 *
 * @module
 */

import type net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { LONGEST_DELAY } from "../src/transport/deadlines.ts";
import type { ServerTls } from "./node_tls.ts";
import type { HandshakeCounter } from "./sockets.ts";

/** The high water mark of a TLS socket over a transport: never reached, so that it never stops reading. */
export const NEVER: number = 2 ** 30;

/** A duplex stream that passes on the bytes of a socket while the socket is not paused. */
class Transport extends Duplex {
  readonly #socket: net.Socket;
  #isEnding = false;

  constructor(socket: net.Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (chunk) => this.push(chunk)).on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error)).on("close", () => this.destroy());
  }

  override _read(): void {} // backpressure pauses the socket itself

  override _write(chunk: Uint8Array, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, (error) => {
      done(error);
      if (this.#isEnding) this.#endIfIdle();
    });
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  /** Ends after the pending writes of TLS, which reports its end long before it has written all pieces. */
  endBehindWrites(): void {
    this.#isEnding = true;
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    // After a piece was taken, TLS writes the next one before this runs.
    setImmediate(() => {
      if (this.writableLength === 0 && !this.writableEnded && !this.destroyed) this.end();
    });
  }
}

/** Creates a stream over a socket that can replace it below a TLS socket. */
export function transportOver(socket: net.Socket): Duplex {
  return new Transport(socket);
}

/**
 * Returns a function that performs the TLS handshake of an accepted socket. Sockets that fail, close or take too long are
 * destroyed.
 *
 * @param secure What each connection begins with.
 * @param timeout The maximum duration of a handshake, in milliseconds.
 * @param gate Admits sockets and counts them.
 * @param secured Called for each established connection, with the TLS socket, the error of its certificate (empty if there is no
 * error, or no certificate), and the socket below, which is paused.
 */
export function secureWith(
  secure: ServerTls,
  timeout: number,
  gate: HandshakeCounter,
  secured: (socket: tls.TLSSocket, verdict: string, source: net.Socket) => void,
): (source: net.Socket) => void {
  return (source) => {
    if (!gate.enter(source)) return void source.on("error", () => {}).destroy();
    const transport = new Transport(source);
    const { context: secureContext, options: { requestCert, rejectUnauthorized, SNICallback } } = secure;
    const options = { isServer: true, secureContext, requestCert, rejectUnauthorized, SNICallback, highWaterMark: NEVER };
    const socket = new tls.TLSSocket(transport, options as tls.TLSSocketOptions);
    source.resume(); // it is paused behind a preamble
    const drop = () => socket.destroy();
    const timer = timeout > 0 ? setTimeout(drop, Math.min(timeout, LONGEST_DELAY)) : undefined;
    source.on("end", drop); // TLS itself would continue to wait
    socket.on("close", () => clearTimeout(timer)).on("error", () => {});
    socket.on("finish", () => transport.endBehindWrites()); // for peers that wait for the end of TCP, not only of TLS
    socket.on("_tlsError", (error) => socket.destroy(error)); // without a `tls.Server`, errors arrive under this name
    socket.once("secure", () => {
      clearTimeout(timer);
      gate.leave(source);
      source.off("end", drop).pause();
      secured(socket, requestCert ? verdictOf(socket) : "", source);
    });
  };
}

/** Returns the error of the client's certificate, empty for none. Only a `tls.Server` checks it and drops the connection. */
function verdictOf(socket: tls.TLSSocket): string {
  const { _handle: handle } = socket as unknown as { _handle?: { verifyError?(): unknown } };
  if (typeof handle?.verifyError !== "function") return "UNKNOWN";
  const verdict = handle.verifyError();
  return verdict === "" || verdict === null || verdict === undefined ? "" : String(verdict);
}
