/**
 * Headers of the PROXY protocol, made by hand.
 *
 * @module
 */

/** The parts of a header of version 2. */
export interface BinaryHeader {
  /** Version and command; PROXY by default. */
  readonly command?: number | undefined;
  /** Address family and transport. */
  readonly family: number;
  /** The addresses, and what follows them. */
  readonly payload: readonly number[];
}

/** Returns a header of version 2. */
export function binaryHeader({ command = 0x21, family, payload }: BinaryHeader): Uint8Array {
  const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
  return new Uint8Array([...signature, command, family, payload.length >> 8, payload.length & 255, ...payload]);
}

/** Returns a header of version 2 for a client of IPv4. */
export function clientHeader(bytes: readonly [number, number, number, number], port: number): Uint8Array {
  return binaryHeader({ family: 0x11, payload: [...bytes, 198, 51, 100, 2, port >> 8, port & 255, 0x01, 0xbb] });
}
