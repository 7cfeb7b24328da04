/**
 * What only shows when a server starts: settings that do not fit together, and files and folders that are not there.
 *
 * @module
 */

import type { Runtime } from "../../runtime.ts";
import { logPath } from "../log.ts";
import type { ResolvedSettings, ServerSettings } from "./settings.ts";

/**
 * Checks that the watermarks of a port can both be passed.
 *
 * @param given What the program has set: only that can be wrong.
 * @throws {RangeError} If they are the wrong way round, or a queue can never be so long.
 */
export function checkWatermarks(settings: ResolvedSettings, given: ServerSettings): void {
  const { buffer_high_watermark: high, buffer_low_watermark: low, socket_buffer_size: size } = settings;
  if (low > high) {
    throw new RangeError(`Cannot start the server: buffer_low_watermark (${low}) is above buffer_high_watermark (${high})`);
  }
  if (given.buffer_high_watermark !== undefined && high > size) {
    throw new RangeError(`Cannot start the server: buffer_high_watermark (${high}) is above socket_buffer_size (${size})`);
  }
}

/** The settings of TLS among those that a program has set. */
function tlsSettings(given: ServerSettings): string[] {
  return Object.keys(given).filter((key) => key.startsWith("ssl_") && key !== "ssl_compress");
}

/** A port, as far as TLS is concerned. */
interface Port {
  /** What the program has set on it. */
  readonly given: ServerSettings;
  /** Where it listens. */
  readonly place: { readonly ssl: boolean; readonly type?: number; readonly hostname: string; readonly port: number } | undefined;
}

/**
 * Checks that no settings of TLS were set where none is spoken, which would serve in plain text what was meant to be encrypted.
 *
 * @param ports The ports of a server, its own first, whose settings hold for the others too.
 * @throws {TypeError} If they were.
 */
export function checkTls(ports: readonly Port[]): void {
  for (const [index, { given, place }] of ports.entries()) {
    const [name] = tlsSettings(given);
    if (name === undefined || place?.ssl) continue;
    if (index === 0 && ports.some((port) => port.place?.ssl)) continue;
    const who = index === 0 ? "the server" : `the port ${place?.hostname}:${place?.port}`;
    const way = place?.type === undefined ? "pass true as the third argument of HttpServer" : "add SWOOLE_SSL to the socket type";
    throw new TypeError(`Cannot start the server: ${name} is set, but ${who} does not speak TLS; ${way}`);
  }
}

/**
 * Checks that the files and folders of settings are there and of the right kind. What may not be read is left to those who use it.
 *
 * @throws {Error} If one is not: with the setting and the path.
 */
export async function checkFiles(runtime: Runtime, settings: ResolvedSettings): Promise<void> {
  const { document_root, enable_static_handler, http_parse_files, upload_tmp_dir, log_file, stats_file } = settings;
  if (enable_static_handler && document_root === "") {
    throw new TypeError("Cannot start the server: enable_static_handler needs the setting document_root");
  }
  if (document_root !== "") await checkFolder(runtime, "document_root", document_root, enable_static_handler);
  if (http_parse_files && upload_tmp_dir !== "") await checkFolder(runtime, "upload_tmp_dir", upload_tmp_dir);
  await checkWriting(runtime, "log_file", log_file === "" ? "" : logPath(settings, Date.now()));
  if (stats_file === "") return;
  if (await kindOf(runtime, stats_file) === "folder") throw wrong("stats_file", `${stats_file} is a folder`);
  if (await kindOf(runtime, folderOf(stats_file)) === "nothing") {
    throw wrong("stats_file", `there is no folder ${folderOf(stats_file)}`);
  }
}

/** The folder of a file; with a slash at the end, unless it is where the program runs. */
function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1) || ".";
}

/** Makes a file, if it is not there: whether it can be written shows by no other way alike. */
async function checkWriting(runtime: Runtime, name: string, path: string): Promise<void> {
  if (path === "") return;
  try {
    await runtime.appendTextFile(path, "");
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR") throw wrong(name, `there is no folder ${folderOf(path)}`);
    if (code === "EISDIR") throw wrong(name, `${path} is a folder`);
    if (code === "EACCES" || code === "EROFS") throw wrong(name, `${path} may not be written`);
  }
}

async function checkFolder(runtime: Runtime, name: string, path: string, isRead = false): Promise<void> {
  const kind = await kindOf(runtime, path);
  if (isRead && kind === "unknown") throw wrong(name, `${path} may not be read`);
  if (kind === "nothing") throw wrong(name, `there is no folder ${path}`);
  if (kind === "file") throw wrong(name, `${path} is not a folder`);
}

function wrong(name: string, state: string): Error {
  return new Error(`Cannot use ${name}: ${state}`);
}

/** What is at a path; `unknown` where that may not be seen. */
async function kindOf(runtime: Runtime, path: string): Promise<"nothing" | "folder" | "file" | "unknown"> {
  try {
    await (await runtime.openFile(path)).close();
    return "file";
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "EISDIR") return "folder";
    if (code === "ENOENT" || code === "ENOTDIR") return "nothing";
    return code === "EINVAL" || code === "ENXIO" ? "file" : "unknown";
  }
}
