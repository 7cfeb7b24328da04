/**
 * Answers with files, piece by piece.
 *
 * @module
 */

import { copyFile } from "../../file_pieces.ts";
import { contentTypeOf } from "../../http/media_types.ts";
import { type FileSource, loadRuntime } from "../../runtime.ts";
import type { ByteRange } from "./byte_ranges.ts";
import { exchangeOf, type WaitingResponse } from "../http/http_response.ts";

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
  exchangeOf(response).onReleased();
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
  const { connection, isHead } = exchangeOf(response);
  response.asMaker(() => {
    if (response.fieldValue("content-type") === undefined) response.header("Content-Type", contentTypeOf(path));
    response.beginBody(pieces.reduce((sum, { length }) => sum + length, 0));
  });
  const isReady = async () => await response.drained() && response.isOccupied;
  const write = (octets: Uint8Array) => response.asMaker(() => response.writePart(octets, "ours"));
  try {
    for (const piece of isHead ? [] : pieces) {
      if (typeof piece === "string") response.asMaker(() => response.writePart(piece, "ours"));
      else if (!await copyFile(file, path, piece.start, piece.start + piece.length, isReady, write)) return false;
    }
  } catch {
    connection.abort();
    return false;
  }
  response.asMaker(() => response.end());
  return connection.isOpen || connection.queuedBytes === 0;
}
