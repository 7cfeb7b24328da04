/**
 * The address of one end of a connection.
 *
 * @module
 */

/** The address of one end of a connection. */
export interface Address {
  /** The kind of transport. */
  readonly transport: "tcp" | "unix";
  /** The IP address; for `unix`, the path, which is empty for an unnamed client. */
  readonly hostname: string;
  /** The port number; 0 for `unix`. */
  readonly port: number;
}
