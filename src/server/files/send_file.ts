/**
 * Responses from files, sent in pieces.
 *
 * @module
 */

import { copyFile, type FileSource } from "../../transport/file_pieces.ts";
import { contentTypeOf } from "../../http/media_types.ts";
import { loadRuntime } from "../../transport/current_runtime.ts";
import type { ByteRange } from "./file_conditions.ts";
import type { Exchange } from "../http/exchange.ts";

/** See `WaitingResponse.sendfile()`. */
export async function sendFile(exchange: Exchange, path: string, offset: number, length: number): Promise<boolean> {
  for (const number of [offset, length]) {
    if (!Number.isInteger(number) || number < 0) throw new RangeError(`Cannot send a file: ${number} is no number of bytes`);
  }
  const { writer } = exchange;
  if (!writer.takesHeaders || !writer.isWritable || writer.isOccupied) return false;
  writer.occupy();
  let file: FileSource | undefined;
  try {
    file = await (await loadRuntime()).openFile(path);
    const count = length === 0 ? file.size - offset : length;
    if (count >= 0 && offset + count <= file.size) {
      return await sendPieces(exchange, path, file, [{ start: offset, length: count }]);
    }
  } catch {
    /* the file cannot be opened or read */
  } finally {
    await file?.close().catch(() => {});
  }
  writer.release();
  exchange.onReleased();
  return false;
}

/**
 * Sends pieces of an open file, with text between them, as the body of a response whose header is set, and ends the response.
 *
 * @param exchange The exchange, whose response is occupied.
 * @returns `false` if the client disconnected, or the file was shorter than expected. In that case the connection ends, so
 * that the client can detect the truncation.
 */
export async function sendPieces(
  exchange: Exchange,
  path: string,
  file: FileSource,
  pieces: readonly (string | ByteRange)[],
): Promise<boolean> {
  const { connection, isHead, writer } = exchange;
  // The program cannot use the response meanwhile.
  const asMaker = (work: () => void) => {
    writer.release();
    try {
      connection.gather(work);
    } finally {
      writer.occupy();
    }
  };
  asMaker(() => {
    if (writer.fieldValue("content-type") === undefined) writer.header("Content-Type", contentTypeOf(path));
    writer.beginBody(pieces.reduce((sum, { length }) => sum + length, 0));
  });
  const isReady = async () => await exchange.drained() && writer.isOccupied;
  const write = (bytes: Uint8Array) => asMaker(() => writer.writePart(bytes, "ours"));
  try {
    for (const piece of isHead ? [] : pieces) {
      if (typeof piece === "string") asMaker(() => writer.writePart(piece, "ours"));
      else if (!await copyFile(file, path, piece.start, piece.start + piece.length, isReady, write)) return false;
    }
  } catch (error) {
    exchange.breakOff(true, { error });
    return false;
  }
  asMaker(() => writer.end());
  return exchange.isComplete;
}
