/**
 * A server that tells each client which certificate it saw, and clients with certificates.
 *
 * @module
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { HttpServer, type Runtime, type ServerSettings, SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL } from "../../mod.ts";
import { servingOn } from "../support/lanes.ts";
import { tlsSettings } from "../support/tls_client.ts";

/** The path of a file in this folder. */
export const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The text of a file in this folder. */
export const read = (name: string): string => readFileSync(path(name), "utf8");

/** The settings of a certificate in this folder with its key. */
export function pair(name: string): { ssl_cert_file: string; ssl_key_file: string } {
  return { ssl_cert_file: path(`${name}.pem`), ssl_key_file: path(`${name}_key.pem`) };
}

/** The runtime that the tests are in. */
export const where: "deno" | "bun" | "node" = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** A server that answers with the name in the client's certificate, or "nobody". */
export function namingServer(settings: ServerSettings): HttpServer {
  const server = new HttpServer("127.0.0.1", 0, SWOOLE_BASE, SWOOLE_SOCK_TCP | SWOOLE_SSL);
  server.set({ ...tlsSettings, ...settings });
  server.on("request", (request, response) => {
    const info = server.getClientInfo(request.fd);
    const pem = info === false ? undefined : info.ssl_client_cert;
    response.end(pem === undefined ? "nobody" : new X509Certificate(pem).subject);
  });
  return server;
}

/** Runs a test against such a server. */
export function naming(runtime: Runtime, settings: ServerSettings, work: (port: number) => Promise<void>): Promise<void> {
  return servingOn(runtime, namingServer(settings), (_server, port) => work(port));
}

/** The options of a client with a certificate of this folder. */
export function as(name: string): tls.ConnectionOptions {
  return { cert: read(`${name}.pem`), key: read(`${name}_key.pem`) };
}

/** What comes of a request: the answer's body and the name in the server's certificate. */
export interface Answer {
  readonly body: string;
  readonly server: string;
}

/** Requests something over TLS; trusts both authorities of this folder. */
export function ask(port: number, options: tls.ConnectionOptions = {}): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    let [text, server] = ["", ""];
    const socket = tls.connect(
      { host: "127.0.0.1", port, servername: "localhost", ca: [read("ca.pem"), read("second_ca.pem")], ...options },
      () => {
        server = String(socket.getPeerCertificate().subject?.CN);
        socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      },
    );
    socket.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
    socket.on("error", () => {}).on("close", () => {
      const end = text.indexOf("\r\n\r\n");
      resolve(end < 0 ? undefined : { body: text.slice(end + 4), server });
    });
  });
}

/** The body of the answer alone. */
export async function bodyOf(asking: Promise<Answer | undefined>): Promise<string | undefined> {
  return (await asking)?.body;
}
