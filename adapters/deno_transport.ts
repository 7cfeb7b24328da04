/**
 * What `node:tls` runs over in Deno: there, a TLS socket that is paused goes on reading from the network without limit, and
 * forgets the end when that arrives meanwhile. So the TLS socket is never paused, but the socket below it is, and since Deno
 * would read that one natively, past its `pause()`, this stands between the two.
 *
 * @module
 */

import type net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { LONGEST_DELAY } from "../src/delay.ts";

/** The high water mark of a TLS socket over a transport: one that is not reached, so that it never stops reading. */
export const NEVER: number = 2 ** 30;

/** The octets of a socket, as they come, for as long as the socket is not paused. */
class Transport extends Duplex {
  readonly #socket: net.Socket;
  #isEnding = false;

  constructor(socket: net.Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on("data", (chunk) => this.push(chunk)).on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error)).on("close", () => this.destroy());
  }

  override _read(): void {} // whoever pauses, pauses the socket

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

  /** Ends behind what TLS has still to write: it says that it has finished long before, and writes piece by piece. */
  endBehindWrites(): void {
    this.#isEnding = true;
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    // When a piece has been taken, the next one comes before this.
    setImmediate(() => {
      if (this.writableLength === 0 && !this.writableEnded && !this.destroyed) this.end();
    });
  }
}

/** What a TLS socket can be made over, in place of a socket. */
export function transportOver(socket: net.Socket): Duplex {
  return new Transport(socket);
}

/**
 * What a server does with the sockets that it accepts: the TLS handshake. Who fails, leaves or takes too long is dropped.
 *
 * @param options What `node:tls` is told.
 * @param timeout How long a handshake may take, in milliseconds.
 * @param secured Called for each connection that is established, with the TLS socket, what is wrong with its certificate (empty
 * for nothing, also when there is none), and the socket below, which is paused.
 */
export function secureWith(
  options: tls.TlsOptions,
  timeout: number,
  secured: (socket: tls.TLSSocket, verdict: string, source: net.Socket) => void,
): (source: net.Socket) => void {
  const { requestCert, rejectUnauthorized, SNICallback } = options;
  const secureContext = tls.createSecureContext(options);
  const shared = { isServer: true, secureContext, requestCert, rejectUnauthorized, SNICallback, highWaterMark: NEVER };
  return (source) => {
    const transport = new Transport(source);
    const socket = new tls.TLSSocket(transport, shared as tls.TLSSocketOptions);
    const drop = () => socket.destroy();
    const timer = timeout > 0 ? setTimeout(drop, Math.min(timeout, LONGEST_DELAY)) : undefined;
    source.on("end", drop); // TLS itself would wait on
    socket.on("close", () => clearTimeout(timer)).on("error", () => {});
    socket.on("finish", () => transport.endBehindWrites()); // for peers that wait for the end of TCP, not only of TLS
    socket.on("_tlsError", (error) => socket.destroy(error)); // without a `tls.Server`, errors come by this name
    socket.once("secure", () => {
      clearTimeout(timer);
      source.off("end", drop).pause();
      secured(socket, requestCert ? verdictOf(socket) : "", source);
    });
  };
}

/** Only a `tls.Server` asks for the verdict by itself, and only it takes the connection away. */
function verdictOf(socket: tls.TLSSocket): string {
  const { _handle: handle } = socket as unknown as { _handle?: { verifyError?(): unknown } };
  if (typeof handle?.verifyError !== "function") return "UNKNOWN";
  const verdict = handle.verifyError();
  return verdict === "" || verdict === null || verdict === undefined ? "" : String(verdict);
}
