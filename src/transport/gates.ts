/**
 * The gates that connections pass before the server knows them: they wait for their turn, may start a TLS handshake or not, and
 * begin with the header of a proxy.
 *
 * @module
 */

import type { Address } from "./address.ts";

/** A gate for connections that start a TLS handshake. Until that is done, nothing else in the server knows them. */
export interface HandshakeGate {
  /**
   * Admits a connection and counts it until `leave()`, or returns `false` to have it dropped.
   *
   * @param address The address of the client.
   */
  enter(address: Address): boolean;
  /**
   * Stops counting an admitted connection, because its handshake is done (called just before it is passed on) or because it is
   * gone. Called once per connection.
   *
   * @param address The address that was passed to `enter()`.
   */
  leave(address: Address): void;
}

/**
 * What comes before everything else on an accepted connection, TLS included: the header that a proxy sends for its client. There
 * is one for each connection.
 */
export interface Preamble {
  /** The address of the client, once the preamble is complete; `undefined` if the proxy does not tell it. */
  readonly remoteAddress: Address | undefined;
  /** The address to which the client has connected; `undefined` if the proxy does not tell it. */
  readonly localAddress: Address | undefined;
  /**
   * Receives bytes.
   *
   * @param chunk The bytes.
   * @returns The number of bytes that belong to the preamble, once it is complete; -1 if more are needed; `undefined` if the
   * connection is refused, and has to be dropped.
   */
  receive(chunk: Uint8Array): number | undefined;
  /**
   * Called when the connection ends, or is dropped because it takes too long, before the preamble is complete.
   *
   * @param isLate Whether it takes too long.
   */
  onMissing(isLate: boolean): void;
}

/** A gate for connections that begin with a preamble. Until that is complete, nothing else in the server knows them. */
export interface PreambleGate extends HandshakeGate {
  /**
   * Creates the preamble of a connection.
   *
   * @param address The address that was passed to `enter()`.
   */
  begin(address: Address): Preamble;
}

/** A gate that lets new connections begin one after the other. */
export interface AcceptGate {
  /**
   * Lets a connection begin, at once or later.
   *
   * @param address The address of the peer, if it is known.
   * @param begin Begins it. Returns whether it is still there.
   * @returns Whether it may begin or wait. If not, it is dropped.
   */
  enter(address: Address | undefined, begin: () => boolean): boolean;
  /** Lets all that wait begin. */
  flush(): void;
}
