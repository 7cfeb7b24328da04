/**
 * Masking keys for clients.
 *
 * @module
 */

const pool = new Int32Array(1024);
let used = pool.length;

/**
 * A fresh masking key, which nobody can foresee (RFC 6455 section 5.3). Random numbers are drawn a thousand at a time: one call
 * into the runtime for each frame would cost more than the frame.
 */
export function makeMaskingKey(): number {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  return pool[used++];
}
