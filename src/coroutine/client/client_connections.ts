/**
 * What all clients of a program share: a clock, scratch memory and the list of their connections.
 *
 * @module
 */

import type { Connection, Protocol } from "../../connection.ts";
import type { BytePipe } from "../../runtime.ts";
import { ConnectionTable } from "../../server/connection_table.ts";

let table: ConnectionTable | undefined;

/** The connections of all clients, and the time. */
export function clientConnections(): ConnectionTable {
  const nothing = () => {};
  return table ??= new ConnectionTable({
    maxConnections: Infinity,
    firstFd: 0,
    lingerTimeout: 5000,
    highWatermark: 256 * 1024, // a slow server holds this much of our output before push() waits
    lowWatermark: 128 * 1024,
  }, {
    makeProtocol: () => {
      throw new Error("Cannot make a protocol: each client brings its own");
    },
    onAccepted: nothing,
    onClosed: nothing,
    onBufferFull: nothing,
    onBufferEmpty: nothing,
    onFault(connection, error) {
      connection.error = error;
      connection.protocol.onFault();
    },
  });
}

/** Makes a connection of a pipe. */
export function addClientConnection(pipe: BytePipe, makeProtocol: (connection: Connection) => Protocol): Connection {
  return clientConnections().accept(pipe, makeProtocol)!;
}
