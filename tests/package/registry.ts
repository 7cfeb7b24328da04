/**
 * A registry of npm with a single package, on loopback: what `npm install NAME`, `bun add NAME` and `deno add npm:NAME` ask.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** The part of a package.json that matters here. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly [key: string]: unknown;
}

/** A running registry. */
export class Registry {
  readonly #server: Server;
  /** Its address, which ends with a slash. */
  readonly url: string;
  /** The paths that it did not have. */
  readonly missed: string[];

  private constructor(server: Server, url: string, missed: string[]) {
    this.#server = server;
    this.url = url;
    this.missed = missed;
  }

  /** Serves a tarball. */
  static async serve(tarball: string, manifest: Manifest): Promise<Registry> {
    const { name, version } = manifest;
    const bytes = readFileSync(tarball);
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const missed: string[] = [];
    const server = createServer((request, response) => {
      const path = decodeURIComponent(request.url!);
      if (path === `/${name}`) {
        const dist = { tarball: `${url}tarball.tgz`, integrity };
        const document = { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
        response.setHeader("Content-Type", "application/json").end(JSON.stringify(document));
      } else if (path === "/tarball.tgz") response.end(bytes);
      else {
        missed.push(`${request.method} ${path}`);
        response.writeHead(404, { "Content-Type": "application/json" }).end("{}");
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    return new Registry(server, url, missed);
  }

  /** Stops it. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
