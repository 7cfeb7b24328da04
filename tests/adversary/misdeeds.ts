/**
 * What programs do with buffers that are theirs.
 *
 * @module
 */

/** What a program does with a buffer, once it has seen what is in it. */
export const MISDEEDS: Record<string, (bytes: Uint8Array) => void> = {
  keeps: () => {},
  changes: (bytes) => void bytes.fill(0x21),
  transfers: (bytes) => {
    structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
  },
};
