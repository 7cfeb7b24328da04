/**
 * `UploadedFile`, a file of a form.
 *
 * @module
 */

import { loadRuntime } from "../../runtime.ts";

/**
 * A file of a form: a web `File`, which has `name`, `type` and `size`, with what Swoole tells beside that. Its content is in a
 * temporary file, which is read when it is asked for (`arrayBuffer()`, `stream()`, `text()`), or in memory where `upload_tmp_dir`
 * is empty. `name` has no path in it, whatever the client sent.
 *
 * A temporary file is removed when the answer has ended, or the client has gone, and the handler is done. What is to stay has to
 * be moved, with `moveTo()`, or read before.
 *
 * @example Keep a file
 * ```ts
 * import { HttpServer, type UploadedFile } from "@sluice/server";
 *
 * const server = new HttpServer("127.0.0.1", 0);
 * server.set({ http_parse_files: true, upload_max_filesize: 1024 * 1024 * 1024 });
 * server.on("request", async (request, response) => {
 *   const file: UploadedFile | undefined = request.files.picture;
 *   if (file === undefined || file.error !== 0) return response.status(400) && response.end();
 *   await file.moveTo("/tmp/sluice-picture"); // never to a name that the client has chosen
 *   response.end(`${file.name} has ${file.size} octets`);
 * });
 * await server.start();
 * const body = new FormData();
 * body.append("picture", new File(["hello"], "hello.txt"));
 * const answer = await fetch(`http://127.0.0.1:${server.port}/`, { method: "POST", body });
 * console.assert(await answer.text() === "hello.txt has 5 octets");
 * server.shutdown();
 * ```
 */
export class UploadedFile extends File {
  /**
   * PHP's number for what happened: 0 for a file, 4 (`UPLOAD_ERR_NO_FILE`) when none was chosen, 6 (`UPLOAD_ERR_NO_TMP_DIR`) when
   * no file could be made in `upload_tmp_dir`, 7 (`UPLOAD_ERR_CANT_WRITE`) when it could not be written. There is no content
   * unless it is 0.
   */
  readonly error: number;
  /** PHP's name of the file as the client sent it, which may have a path in it. */
  readonly full_path: string;
  #path: string;
  readonly #size: number;

  /** Made by the server, of the content, the name as it was sent, the media type, the path of the content, and what happened. */
  constructor(content: Blob, name: string, type: string, path = "", error = 0) {
    super([content], name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1), { type });
    this.full_path = name;
    this.error = error;
    this.#path = path;
    this.#size = content.size;
  }

  /** How many octets it has; also when they have been moved, where Bun would find none. */
  override get size(): number {
    return this.#size;
  }

  /** Swoole's path of the temporary file; empty when the content is in memory. */
  get tmp_name(): string {
    return this.#path;
  }

  /**
   * Moves the content to a place where it stays, as PHP's `move_uploaded_file()` does. A temporary file is there at once when the
   * place is on the same disk; it can be read there then, and not with this object any more.
   *
   * @param path Where to; a file that is there is replaced. It must not come from the client.
   * @throws {TypeError} If there is no content, see `error`.
   * @throws {Error} What the system says, for example that there is no such folder; and when it has been moved before.
   */
  async moveTo(path: string): Promise<void> {
    if (this.error !== 0) throw new TypeError(`Cannot move the file: it has not been uploaded, error ${this.error}`);
    const runtime = await loadRuntime();
    if (this.#path !== "") return await runtime.moveFile(this.#path, path);
    const file = await runtime.openForWriting(path);
    try {
      for await (const part of this.stream()) await file.write(part);
    } finally {
      await file.close();
    }
  }
}
