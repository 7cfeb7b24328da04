/**
 * Sends the bodies of requests.
 *
 * @module
 */

import type { Connection } from "../../connection.ts";
import { copyFile } from "../../file_pieces.ts";
import { loadRuntime } from "../../runtime.ts";
import type { BodyPart, BytesPart, FilePart } from "./multipart.ts";

/** Bodies in memory of up to this many bytes leave with their head; of larger ones this much is handed on at a time. */
const PIECE = 256 * 1024;

/** The program has taken the memory of a body away before it was sent. */
class BodyTakenAway extends Error {
  readonly code: string = "EINVAL";

  constructor() {
    super("Cannot send the body: its memory was transferred or resized before it was sent");
  }
}

/** Sends the body of one request. The connection never holds more than a piece of it. */
export class BodySender {
  readonly #connection: Connection;
  readonly #parts: readonly BodyPart[];
  readonly #isWanted: () => boolean;
  readonly #onProgress: () => void;
  #isHandedOn = false;

  /**
   * @param connection Where to.
   * @param parts The parts of the body.
   * @param isWanted Whether to go on.
   * @param onProgress Called when the peer has taken what there was.
   */
  constructor(connection: Connection, parts: ReadonlyArray<BodyPart>, isWanted: () => boolean, onProgress: () => void) {
    this.#connection = connection;
    this.#parts = parts;
    this.#isWanted = isWanted;
    this.#onProgress = onProgress;
  }

  /** Whether the connection has been given all of it. */
  get isHandedOn(): boolean {
    return this.#isHandedOn;
  }

  /**
   * Sends it; what needs no waiting is handed on before the call returns.
   *
   * @throws What the runtime throws for a file that cannot be read; an `Error` for one that has become shorter, or for memory that the
   * program has transferred meanwhile.
   */
  async send(): Promise<void> {
    let waits = false;
    let size = 0; // handed on since the last wait
    for (const part of this.#parts) {
      if ("path" in part) {
        waits = true;
        if (!await this.#sendFile(part)) return;
        size = PIECE; // that the last piece of a file is on its way is waited for, too
        continue;
      }
      for (let at = 0; at < part.size;) {
        const count = Math.min(part.size - at, PIECE - size);
        if (count === 0) {
          waits = true;
          await this.#taken();
          if (!this.#isWanted()) return;
          size = 0;
          continue;
        }
        checkBytes(part);
        if (part.isOwn) this.#connection.append(part.bytes.subarray(at, at + count));
        else this.#connection.appendCopy(part.bytes, at, at + count);
        at += count;
        size += count;
      }
    }
    this.#isHandedOn = true;
    if (waits) await this.#taken();
  }

  async #sendFile({ path, offset, size }: FilePart): Promise<boolean> {
    const runtime = await loadRuntime();
    const file = await runtime.openFile(path);
    try {
      const isReady = () => this.#taken().then(this.#isWanted);
      return await copyFile(file, path, offset, offset + size, isReady, (piece) => this.#connection.append(piece));
    } finally {
      await file.close().catch(() => {});
    }
  }

  async #taken(): Promise<void> {
    if (this.#connection.queuedBytes > 0) await this.#connection.whenTaken();
    this.#onProgress();
  }
}

/**
 * Makes sure that the program has left the memory of a body alone since it gave it.
 *
 * @throws {Error} If it has not: a body with too few bytes is never sent.
 */
export function checkBytes({ bytes, size }: BytesPart): void {
  if (bytes.length !== size) throw new BodyTakenAway();
}
