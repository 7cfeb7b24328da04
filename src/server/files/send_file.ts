/**
 * Answers with files, piece by piece.
 *
 * @module
 */

import { viewBytes } from "../../bytes.ts";
import { contentTypeOf } from "../../http/media_types.ts";
import { type FileSource, loadRuntime } from "../../runtime.ts";
import type { ByteRange } from "./byte_ranges.ts";
import { sessionOf, type WaitingResponse } from "../http/http_response.ts";

const PIECE = 64 * 1024;

/** See `WaitingResponse.sendfile()`. */
export async function sendFile(response: WaitingResponse, path: string, offset: number, length: number): Promise<boolean> {
  for (const number of [offset, length]) {
    if (!Number.isInteger(number) || number < 0) throw new RangeError(`Cannot send a file: ${number} is no number of octets`);
  }
  if (!response.initHeader() || !response.isWritable() || response.isOccupied) return false;
  response.occupy();
  let file: FileSource | undefined;
  try {
    file = await (await loadRuntime()).openFile(path);
    const count = length === 0 ? file.size - offset : length;
    if (count >= 0 && offset + count <= file.size) {
      return await sendPieces(response, path, file, [{ start: offset, length: count }]);
    }
  } catch {
    /* there is no such file */
  } finally {
    await file?.close().catch(() => {});
  }
  response.release();
  sessionOf(response).onReleased(response);
  return false;
}

/**
 * Sends pieces of an open file, and text between them, as the body of an answer, whose header is set; ends the answer.
 *
 * @param response The answer, which is occupied.
 * @returns `false` when the client has gone, or the file was cut off; then the connection is dropped, so that it shows.
 */
export async function sendPieces(
  response: WaitingResponse,
  path: string,
  file: FileSource,
  pieces: readonly (string | ByteRange)[],
): Promise<boolean> {
  const { connection, isHead } = sessionOf(response);
  response.asMaker(() => {
    if (response.fieldValue("content-type") === undefined) response.header("Content-Type", contentTypeOf(path));
    response.beginBody(pieces.reduce((sum, { length }) => sum + length, 0));
  });
  try {
    for (const piece of isHead ? [] : pieces) {
      if (typeof piece === "string") response.asMaker(() => response.writePart(piece));
      else if (!await sendOctets(response, path, file, piece)) return false;
    }
  } catch {
    connection.abort();
    return false;
  }
  response.asMaker(() => response.end());
  return connection.isOpen || connection.queuedBytes === 0;
}

/** Sends octets of a file. Resolves to `false` when the client has gone. */
async function sendOctets(
  response: WaitingResponse,
  path: string,
  file: FileSource,
  { start, length }: ByteRange,
): Promise<boolean> {
  const end = start + length;
  for (let at = start; at < end;) {
    const memory = new Uint8Array(Math.min(PIECE, end - at));
    // The next piece is read while the last one is on its way.
    const [size, open] = await Promise.all([file.read(at, memory), response.drained()]);
    if (!open || !response.isOccupied) return false;
    if (size === 0) throw new Error(`Cannot send ${path}: it has become shorter`);
    response.asMaker(() => response.writePart(viewBytes(memory, 0, size)));
    at += size;
  }
  return true;
}
