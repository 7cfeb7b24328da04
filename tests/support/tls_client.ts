/**
 * TLS for tests: the certificate of `tests/tls/`, and a client that trusts its authority and nothing else.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { RawClient } from "./raw_client.ts";

const path = (name: string) => fileURLToPath(new URL(`../tls/${name}`, import.meta.url));

/** The settings of a server with TLS. */
export const tlsSettings: { ssl_cert_file: string; ssl_key_file: string } = {
  ssl_cert_file: path("cert.pem"),
  ssl_key_file: path("key.pem"),
};

/** The certificate of the authority, in PEM format. */
export const authority: string = readFileSync(path("ca.pem"), "utf8");

/**
 * Returns a certificate of `tests/tls/` with its key, in PEM format. `cert` is signed by the authority, `self` and `expired` are
 * self-signed.
 */
export function certificate(name: "cert" | "self" | "expired"): { cert: string; key: string } {
  const key = name === "cert" ? "key.pem" : `${name}_key.pem`;
  return { cert: readFileSync(path(`${name}.pem`), "utf8"), key: readFileSync(path(key), "utf8") };
}

/** Connects over TLS to 127.0.0.1 and verifies that the certificate is for `localhost`. */
export function connectTls(port: number, more: tls.ConnectionOptions = {}): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: "localhost", ca: authority, allowHalfOpen: true, ...more };
    const socket = tls.connect(options as tls.ConnectionOptions, () => {
      socket.off("error", reject);
      resolve(new RawClient(socket));
    });
    socket.once("error", reject);
  });
}
