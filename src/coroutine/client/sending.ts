/**
 * Sends bodies that are partly in files.
 *
 * @module
 */

import type { Connection } from "../../connection.ts";
import { copyFile } from "../../file_pieces.ts";
import { loadRuntime } from "../../runtime.ts";
import type { BodyPart } from "./multipart.ts";

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
      const isReady = () => taken().then(isWanted);
      const write = (piece: Uint8Array) => connection.append(piece);
      if (!await copyFile(file, part.path, part.offset, part.offset + part.size, isReady, write)) return;
    } finally {
      await file.close().catch(() => {});
    }
  }
  await taken();
}
