/**
 * Sends bodies that are partly in files.
 *
 * @module
 */

import { viewBytes } from "../../bytes.ts";
import type { Connection } from "../../connection.ts";
import { loadRuntime } from "../../runtime.ts";
import type { BodyPart } from "./multipart.ts";

/** How much of a file is read at a time. */
const PIECE = 64 * 1024;

/**
 * Sends the parts of a body. Of a file there is one piece on its way and one in memory.
 *
 * @param connection Where to.
 * @param parts The parts.
 * @param isWanted Whether to go on.
 * @param onProgress Called when the peer has taken what there was.
 * @throws What the runtime throws for a file that cannot be read; an `Error` for one that has become shorter.
 */
export async function sendParts(
  connection: Connection,
  parts: readonly BodyPart[],
  isWanted: () => boolean,
  onProgress: () => void,
): Promise<void> {
  const taken = async () => {
    if (connection.queuedBytes > 0) await connection.whenTaken();
    onProgress();
  };
  const runtime = await loadRuntime();
  for (const part of parts) {
    if (!isWanted()) return;
    if (part instanceof Uint8Array) {
      connection.append(part);
      continue;
    }
    const file = await runtime.openFile(part.path);
    try {
      for (let at = part.offset, end = part.offset + part.size; at < end;) {
        const piece = new Uint8Array(Math.min(PIECE, end - at));
        const [count] = await Promise.all([file.read(at, piece), taken()]);
        if (!isWanted()) return;
        if (count === 0) throw new Error(`Cannot send ${part.path}: it has become shorter`);
        connection.append(viewBytes(piece, 0, count));
        at += count;
      }
    } finally {
      await file.close().catch(() => {});
    }
  }
  await taken();
}
