/**
 * Why a proxy does not let a client through.
 *
 * @module
 */

/** An error of a proxy, or of the way behind it. */
export class ProxyFailure extends Error {
  /** The error code. */
  readonly number: number;

  constructor(number: number, message: string) {
    super(message);
    this.number = number;
  }
}
