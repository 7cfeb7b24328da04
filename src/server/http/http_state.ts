/**
 * The states of a connection of HTTP.
 *
 * @module
 */

/**
 * What a connection of HTTP is doing. The table in docs/architecture.md says what each state waits for, what ends it and what an
 * end of the client's side means in it.
 */
export type HttpState =
  /** No byte of a request has arrived since the last one. */
  | "idle"
  /** The head of a request is arriving. */
  | "head"
  /** The body of a request is arriving, and is collected before anybody is called. */
  | "body"
  /** An exchange is under way, and the body of its request is arriving. */
  | "uploading"
  /** An exchange is under way, and its request is there. */
  | "handling"
  /** An exchange is under way that is a handshake. */
  | "handshake"
  /** The client has not taken the last responses: no more requests are read until it has. */
  | "draining"
  /** The connection has ended, or speaks another protocol. */
  | "over";
