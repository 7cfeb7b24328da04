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

/** A part of a body in memory. */
export interface BytesPart {
  /** Its bytes. */
  readonly bytes: Uint8Array;
  /** How many they were when the program gave them: fewer mean that it has transferred them since. */
  readonly size: number;
  /** Whether they are ours, and nobody changes them. */
  readonly isOwn: boolean;
}

/** A part of a body. */
export type BodyPart = BytesPart | FilePart;

const encoder = new TextEncoder();

/** A boundary that is in no file by chance. */
export function makeBoundary(): string {
  const random = crypto.getRandomValues(new Uint8Array(15));
  return `----sluice${btoa(String.fromCharCode(...random)).replaceAll("+", "-").replaceAll("/", "_")}`;
}

/** A part of a body that is a text. */
export function textPart(text: string): BytesPart {
  const bytes = encoder.encode(text);
  return { bytes, size: bytes.length, isOwn: true };
}

/**
 * Makes the body of a form.
 *
 * @param fields The fields without files, names and values, which come first.
 * @param files The files.
 * @param boundary What stands between them.
 */
export function composeForm(
  fields: readonly (readonly [name: string, value: string])[],
  files: readonly UploadFile[],
  boundary: string,
): BodyPart[] {
  const parts: BodyPart[] = [];
  let text = "";
  const begin = (name: string) => text += `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"`;
  for (const [name, value] of fields) {
    begin(name);
    text += `\r\n\r\n${value}\r\n`;
  }
  for (const { path, content, name, filename, type, size, offset } of files) {
    begin(name);
    text += `; filename="${quote(filename)}"\r\nContent-Type: ${type}\r\n\r\n`;
    parts.push(textPart(text), content === undefined ? { path: path!, offset, size } : { bytes: content, size, isOwn: false });
    text = "\r\n";
  }
  parts.push(textPart(`${text}--${boundary}--\r\n`));
  return parts;
}

/** How many bytes a body has. */
export function lengthOf(parts: readonly BodyPart[]): number {
  return parts.reduce((sum, part) => sum + part.size, 0);
}

/** A name in quotation marks, as browsers write it (RFC 7578 section 2 leaves it open): what would end it is escaped. */
function quote(name: string): string {
  return name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}
