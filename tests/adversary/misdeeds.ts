/**
 * Ways in which programs treat buffers they own.
 *
 * @module
 */

/** The treatments of a buffer after the program has read it. */
export const MISDEEDS: Record<string, (bytes: Uint8Array) => void> = {
  keeps: () => {},
  changes: (bytes) => void bytes.fill(0x21),
  transfers: (bytes) => {
    structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  },
};
