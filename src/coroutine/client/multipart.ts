/**
 * Forms with files: `multipart/form-data` (RFC 7578).
 *
 * @module
 */

/** A file of a form, as `addFile()` and `addData()` note it, under Swoole's names. */
export interface UploadFile {
  /** Where it is read from, when it is sent; without a path there is `content`. */
  readonly path?: string;
  /** What is in it. */
  readonly content?: Uint8Array;
  /** The name of the field. */
  readonly name: string;
  /** The name that the server is told. */
  readonly filename: string;
  /** The media type that the server is told. */
  readonly type: string;
  /** How many octets are sent. */
  readonly size: number;
  /** Where in the file they begin. */
  readonly offset: number;
}

/** A part of a file, which is read when its turn comes. */
export interface FilePart {
  /** The path. */
  readonly path: string;
  /** Where it begins. */
  readonly offset: number;
  /** How many octets it has. */
  readonly size: number;
}

/** A piece of a body. */
export type BodyPart = Uint8Array | FilePart;

const encoder = new TextEncoder();

/** A boundary that is in no file by chance. */
export function makeBoundary(): string {
  const random = crypto.getRandomValues(new Uint8Array(15));
  return `----sluice${btoa(String.fromCharCode(...random)).replaceAll("+", "-").replaceAll("/", "_")}`;
}

/**
 * Makes the body of a form.
 *
 * @param fields The fields without files, which come first.
 * @param files The files.
 * @param boundary What stands between them.
 */
export function composeForm(
  fields: Readonly<Record<string, string>>,
  files: readonly UploadFile[],
  boundary: string,
): BodyPart[] {
  const parts: BodyPart[] = [];
  let text = "";
  const begin = (name: string) => text += `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"`;
  for (const [name, value] of Object.entries(fields)) {
    begin(name);
    text += `\r\n\r\n${value}\r\n`;
  }
  for (const { path, content, name, filename, type, size, offset } of files) {
    begin(name);
    text += `; filename="${quote(filename)}"\r\nContent-Type: ${type}\r\n\r\n`;
    parts.push(encoder.encode(text), content ?? { path: path!, offset, size });
    text = "\r\n";
  }
  parts.push(encoder.encode(`${text}--${boundary}--\r\n`));
  return parts;
}

/** How many octets a body has. */
export function lengthOf(parts: readonly BodyPart[]): number {
  return parts.reduce((sum, part) => sum + (part instanceof Uint8Array ? part.length : part.size), 0);
}

/** A name in quotation marks, as browsers write it (RFC 7578 section 2 leaves it open): what would end it is escaped. */
function quote(name: string): string {
  return name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
