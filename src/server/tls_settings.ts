/**
 * The settings of TLS.
 *
 * @module
 */

import type { Kind } from "./setting_kinds.ts";

/** How TLS is spoken, under Swoole's names. */
export interface TlsSettings {
  /** Path of the certificate chain, PEM. Needed with `SWOOLE_SSL`. */
  ssl_cert_file?: string;
  /** Path of the private key, PEM. Needed with `SWOOLE_SSL`. */
  ssl_key_file?: string;
}

/** Their defaults. */
export const TLS_DEFAULTS: Readonly<Required<TlsSettings>> = {
  ssl_cert_file: "",
  ssl_key_file: "",
};

/** What their values have to be. */
export const TLS_KINDS: Record<keyof TlsSettings, Kind> = {
  ssl_cert_file: "text",
  ssl_key_file: "text",
};
