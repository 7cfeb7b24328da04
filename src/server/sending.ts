/**
 * Sending that takes its time: as much as the peer takes.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import { copyFile } from "../file_pieces.ts";
import { type FileSource, loadRuntime } from "../runtime.ts";
import { EIO, systemCode } from "../system_codes.ts";
import type { PortCore } from "./port_core.ts";

/** What is under way on a connection: one waits for the other. */
const underWay: WeakMap<Connection, Promise<unknown>> = new WeakMap();

/** See `Server.sendfile()`. */
export function sendFile(core: PortCore, connection: Connection, path: string, offset: number, length: number): Promise<boolean> {
  return inTurn(connection, () => send(core, connection, path, offset, length));
}

/** See `Server.sendwait()`. */
export function sendAndWait(connection: Connection, bytes: Uint8Array): Promise<boolean> {
  const size = bytes.length;
  return inTurn(connection, async () => {
    await connection.whenTaken();
    if (!connection.isOpen) return false;
    connection.gather(() => {
      if (bytes.length !== size) throw new TypeError("Cannot send the bytes: their buffer has been transferred");
      connection.appendCopy(bytes);
    });
    return await connection.whenTaken() && bytes.length === size;
  });
}

function inTurn(connection: Connection, work: () => Promise<boolean>): Promise<boolean> {
  const before = underWay.get(connection);
  const done = before === undefined ? work() : before.then(work);
  underWay.set(connection, done);
  return done;
}

async function send(core: PortCore, connection: Connection, path: string, offset: number, length: number): Promise<boolean> {
  let file: FileSource;
  try {
    file = await (await loadRuntime()).openFile(path);
  } catch (error) {
    return core.failed(systemCode(error) ?? EIO);
  }
  try {
    const end = length === 0 ? file.size : offset + length;
    if (offset > file.size || end > file.size) return core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    const isReady = async () => await connection.whenTaken() && connection.isOpen;
    const sent = await copyFile(file, path, offset, end, isReady, (piece) => connection.append(piece));
    return sent && await connection.whenTaken() || core.failed(EIO);
  } catch {
    return core.failed(EIO);
  } finally {
    await file.close();
  }
}
