/**
 * Files below a folder, served without calling a handler (Swoole's `enable_static_handler`).
 *
 * @module
 */

import type { FileSource } from "../../transport/file_pieces.ts";
import type { Runtime } from "../../transport/runtime.ts";
import { loadRuntime } from "../../transport/current_runtime.ts";
import { formatHttpDate } from "../../http/field_values.ts";
import { type ByteRange, chooseParts, contentRange, entityTag, multipart } from "./file_conditions.ts";
import type { Exchange } from "../http/exchange.ts";
import type { HttpRequest } from "../http/http_request.ts";
import { listOf } from "../settings/http_settings.ts";
import { isAtOrBelow, readRules, rewrite, type RewriteRule } from "./rewrite_rules.ts";
import { sendPieces } from "./send_file.ts";
import type { ResolvedSettings } from "../settings/settings.ts";

/** The error codes for a file that does not exist, independent of the client: caches may store the response. */
const NOT_THERE: readonly unknown[] = ["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP", "EINVAL"];

/** Returns the status for an error of the system; 0 for a folder. */
function failureStatus(error: unknown): number {
  const { code } = error as { code?: unknown };
  if (code === "EISDIR") return 0;
  if (NOT_THERE.includes(code)) return 404;
  if (code === "EACCES" || code === "EPERM") return 403;
  return code === "EMFILE" || code === "ENFILE" ? 503 : 500;
}

/** The static files of one server. */
export class StaticFiles {
  readonly #root: string;
  readonly #locations: readonly string[];
  readonly #indexes: readonly string[];
  readonly #listsFolders: boolean;
  readonly #rules: readonly RewriteRule[];
  readonly #report: (error: unknown) => void;

  /** @param report Receives errors of the system. */
  constructor(settings: ResolvedSettings, report: (error: unknown) => void) {
    this.#report = report;
    this.#root = settings.document_root;
    this.#locations = listOf(settings.static_handler_locations);
    this.#indexes = listOf(settings.http_index_files);
    this.#listsFolders = settings.http_autoindex;
    this.#rules = readRules(settings.url_rewrite_rules);
  }

  /** Reports whether a request may be answered with a file. */
  takes(request: HttpRequest): boolean {
    const method = request.getMethod();
    if (method !== "GET" && method !== "HEAD") return false;
    return this.#locations.length === 0 || this.#isLocated(request);
  }

  /** Reports whether the path of a request is at, or below, one of the locations. */
  #isLocated(request: HttpRequest): boolean {
    const path = this.#pathOf(request);
    return this.#locations.some((one) => isAtOrBelow(path, one));
  }

  /** Returns the rewritten path of a request. */
  #pathOf(request: HttpRequest): string {
    return rewrite(String(request.server.request_uri), this.#rules);
  }

  /**
   * Responds with a file; with 404 if locations are set and the file does not exist, or if the path cannot name a file.
   *
   * @returns `false` if the program has to respond.
   */
  async serve(exchange: Exchange): Promise<boolean> {
    const { writer } = exchange;
    const runtime = await loadRuntime();
    const path = safePath(this.#pathOf(exchange.request));
    if (path !== undefined && await this.#send(runtime, path, exchange)) return true;
    if (path !== undefined && this.#locations.length === 0) return false;
    if (!writer.isWritable) return true;
    writer.status(404);
    writer.header("Content-Type", "text/plain");
    writer.end("not found");
    return true;
  }

  async #send(runtime: Runtime, path: string, exchange: Exchange): Promise<boolean> {
    const { request, writer } = exchange;
    let folder: string;
    try {
      const root = await runtime.realPath(this.#root);
      folder = await runtime.realPath(root + path);
      // A link may lead out of the root.
      if (folder !== root && !folder.startsWith(root.endsWith("/") ? root : `${root}/`)) return false;
      const file = await runtime.openFile(folder);
      if (path.endsWith("/")) return await file.close(), false; // a path below a file
      return await answer(folder, file, exchange);
    } catch (error) {
      const status = failureStatus(error);
      if (status === 404) return false;
      if (status !== 0) {
        if (status !== 403) this.#report(error);
        writer.fail(status);
        return true;
      }
    }
    if (this.#indexes.length === 0 && !this.#listsFolders) return false;
    if (!path.endsWith("/")) { // so that relative links of the page resolve below it
      const { request_uri, query_string } = request.server;
      writer.redirect(`${request_uri}/${query_string === undefined ? "" : `?${query_string}`}`, 301);
      return true;
    }
    for (const name of this.#indexes) {
      if (safePath(`/${name}`) !== undefined && await this.#send(runtime, `${path}${name}`, exchange)) return true;
    }
    return this.#listsFolders && await list(runtime, folder!, path, exchange);
  }
}

/**
 * Returns the path of the file named by a request target: decoded once, absolute, without anything that leads upwards or that
 * some system reads as a separator. Names that start with a dot are not served, except `.well-known` (RFC 8615).
 */
function safePath(target: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(target);
  } catch {
    return undefined;
  }
  // deno-lint-ignore no-control-regex
  if (!path.startsWith("/") || /[\x00-\x1f\x7f\\]|%(?:2e|2f|5c|00)/i.test(path)) return undefined;
  if (/%2f/i.test(target)) return undefined; // a slash in a name
  const names = path.slice(1).split("/");
  if (names.at(-1) === "") names.pop();
  return names.every((name) => name !== "" && (!name.startsWith(".") || name === ".well-known")) ? path : undefined;
}

async function answer(path: string, file: FileSource, exchange: Exchange): Promise<boolean> {
  try {
    const { request, writer } = exchange;
    const { size } = file;
    const { status, parts } = chooseParts(request.header, file, request.getMethod() === "GET");
    writer.status(status);
    writer.header("Last-Modified", formatHttpDate(file.mtime));
    writer.header("ETag", entityTag(file), false);
    writer.header("Accept-Ranges", "bytes");
    let pieces: readonly (string | ByteRange)[] = parts;
    if (parts.length > 1) {
      const body = multipart(path, parts, size);
      writer.header("Content-Type", body.type);
      pieces = body.pieces;
    } else if (status === 206 || status === 416) {
      writer.header("Content-Range", contentRange(parts[0], size));
    }
    if (parts.length > 0) {
      writer.occupy();
      await sendPieces(exchange, path, file, pieces);
    } else {
      writer.end();
    }
    return true;
  } finally {
    await file.close().catch(() => {});
  }
}

/** Sends the list of a folder. */
async function list(runtime: Runtime, folder: string, path: string, exchange: Exchange): Promise<boolean> {
  const { writer } = exchange;
  const entries = await runtime.readFolder(folder).catch(() => undefined);
  if (entries === undefined) return false;
  const names = entries.map(({ name, isFolder }) => isFolder ? `${name}/` : name)
    .filter((name) => safePath(`/${encodeURIComponent(name.replace(/\/$/, ""))}`) !== undefined).sort();
  if (path !== "/") names.unshift("../");
  const lines = names.map((name) => {
    const link = name === "../" ? name : `./${encodeURIComponent(name).replace(/%2F$/, "/")}`;
    return `<li><a href="${link}">${escapeHtml(name)}</a></li>`;
  });
  const title = escapeHtml(path);
  writer.header("Content-Type", "text/html; charset=utf-8");
  writer.end(
    `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n<h1>${title}</h1>\n<ul>\n${lines.join("\n")}\n</ul>\n`,
  );
  return true;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
