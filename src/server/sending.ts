/**
 * Sending that takes its time: as much as the peer takes.
 *
 * @module
 */

import type { Connection } from "../connection.ts";
import { SWOOLE_ERROR_INVALID_PARAMS } from "../errors.ts";
import { type FileSource, loadRuntime } from "../runtime.ts";
import type { PortCore } from "./port_core.ts";

/** A file is read in pieces of this size; no more than two of them are in memory. */
const PIECE = 64 * 1024;

/** What is under way on a connection: one waits for the other. */
const underWay: WeakMap<Connection, Promise<unknown>> = new WeakMap();

/** The numbers of what may be wrong with a file, which differ in no system. */
const CODES: Readonly<Record<string, number>> = { ENOENT: 2, EACCES: 13, EISDIR: 21, EINVAL: 22 };
const EIO = 5;

/** See `Server.sendfile()`. */
export function sendFile(core: PortCore, connection: Connection, path: string, offset: number, length: number): Promise<boolean> {
  return inTurn(connection, () => send(core, connection, path, offset, length));
}

/** See `Server.sendwait()`. */
export function sendAndWait(connection: Connection, bytes: Uint8Array): Promise<boolean> {
  return inTurn(connection, async () => {
    await connection.whenTaken();
    if (!connection.isOpen) return false;
    connection.append(bytes);
    return connection.whenTaken();
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
    return core.failed(CODES[(error as { code?: string }).code ?? ""] ?? EIO);
  }
  try {
    const end = length === 0 ? file.size : offset + length;
    if (offset > file.size || end > file.size) return core.failed(SWOOLE_ERROR_INVALID_PARAMS);
    return await copy(connection, file, offset, end) || core.failed(EIO);
  } catch {
    return core.failed(EIO);
  } finally {
    await file.close();
  }
}

async function copy(connection: Connection, file: FileSource, at: number, end: number): Promise<boolean> {
  while (at < end) {
    const piece = new Uint8Array(Math.min(PIECE, end - at));
    const count = await file.read(at, piece);
    if (count === 0) return false; // it has become shorter
    await connection.whenTaken();
    if (!connection.isOpen) return false;
    connection.append(count === piece.length ? piece : piece.subarray(0, count));
    at += count;
  }
  return connection.whenTaken();
}
