/**
 * The data that compressed messages are made of: of the same kinds and sizes as the suite's own files, and always the same.
 *
 * @module
 */

/** A large JSON file, a picture, a poem, a large HTML file, a PDF. */
export type DataName = "json" | "bitmap" | "poem" | "html" | "pdf";

/** Made when first asked for. */
const made: Map<DataName, string | Uint8Array> = new Map();

const makers: Record<DataName, () => string | Uint8Array> = { json, bitmap, poem, html, pdf };

/**
 * A part of the data, which is read round and round.
 *
 * @param name Which data.
 * @param from Where the part begins: characters of text, bytes of the others.
 * @param length How many of them.
 * @returns Its bytes; text has more of them than characters, now and then.
 */
export function slice(name: DataName, from: number, length: number): Uint8Array {
  let data = made.get(name);
  if (data === undefined) made.set(name, data = makers[name]());
  const start = from % data.length;
  if (typeof data === "string") {
    let text = data.slice(start, start + length);
    while (text.length < length) text += data.slice(0, length - text.length);
    return new TextEncoder().encode(text);
  }
  const part = new Uint8Array(length);
  part.set(data.subarray(start, start + length));
  for (let at = data.length - start; at < length; at += data.length) part.set(data.subarray(0, length - at), at);
  return part;
}

/** Numbers below a limit, drawn in the same order in each run (xorshift). */
function drawing(seed: number): (limit: number) => number {
  return (limit) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % limit;
  };
}

const WORDS =
  ("die der und in zu den das nicht von sie ist des sich mit dem dass er es ein ich auf so eine auch als an nach wie im " +
    "für man aber aus durch wenn nur war noch werden bei hat wir was wird sein einen welche sind oder zur um haben einer mir über " +
    "ihm diese einem ihr uns da zum kann doch vor dieser mich ihn du hatte seine mehr am denn nun unter sehr selbst schon hier bis " +
    "habe ihre dann ihnen seiner alle wieder meine Zeit gegen vom ganz einzelnen wo muss ohne eines können sei Geister Himmel Erde " +
    "Schüler Hölle Träume Brüste Kräfte Größe süßer fröhlich").split(" ");

function words(draw: (limit: number) => number, count: number): string {
  return Array.from({ length: count }, () => WORDS[draw(WORDS.length)]).join(" ");
}

/** Nothing but ASCII, 194056 of them. */
function json(): string {
  const draw = drawing(0x0123abcd);
  const size = 194_056;
  let all = "[";
  for (let id = 0; all.length < size - 600; id++) {
    const record = {
      id,
      name: words(draw, 2).replace(/[^ -~]/g, "e"),
      active: draw(2) === 1,
      balance: draw(1_000_000) / 100,
      tags: words(draw, 4).replace(/[^ -~]/g, "o").split(" "),
      at: { latitude: draw(180_000) / 1000 - 90, longitude: draw(360_000) / 1000 - 180 },
    };
    all += (id === 0 ? "" : ",") + JSON.stringify(record, null, 1);
  }
  return `${all}]`.padEnd(size);
}

/** 512 times 512 shades of grey, with the header and the palette of a BMP file: 263222 bytes. */
function bitmap(): Uint8Array {
  const draw = drawing(0x5eed5eed);
  const head = 14 + 40 + 1024;
  const all = new Uint8Array(head + 512 * 512);
  const view = new DataView(all.buffer);
  all.set([0x42, 0x4d]);
  const fields = [[2, all.length], [10, head], [14, 40], [18, 512], [22, 512], [26, 0x00080001], [34, 512 * 512], [46, 256]];
  for (const [at, value] of fields) view.setUint32(at, value, true);
  for (let i = 0; i < 256; i++) all.fill(i, 54 + 4 * i, 57 + 4 * i);
  for (let y = 0; y < 512; y++) {
    for (let x = 0; x < 512; x++) {
      const disc = (x - 200) ** 2 + (y - 300) ** 2 < 120 ** 2 ? 90 : 0;
      all[head + y * 512 + x] = 40 + ((x + 2 * y) >> 4) + disc + draw(6);
    }
  }
  return all;
}

/** UTF-8 with its byte order mark, 222218 bytes. */
function poem(): Uint8Array {
  const draw = drawing(0x0fa00057);
  const size = 222_218;
  let all = "\ufeff";
  for (let verse = 1; all.length < size; verse++) {
    const line = words(draw, 4 + draw(5));
    all += line[0].toUpperCase() + line.slice(1) + (verse % 4 === 0 ? ".\r\n\r\n" : ",\r\n");
  }
  return cutText(all, size);
}

/** 263620 characters, of which 9 have two bytes and 9 have three. */
function html(): string {
  const draw = drawing(0x41772e3c);
  const size = 263_620;
  const end = "</body></html>\n";
  let all = "<!DOCTYPE html>\n<html><head><title>Large</title></head><body>\n";
  for (let i = 0; all.length < size - 800; i++) {
    const text = words(draw, 12 + draw(40)).replace(/[^ -~]/g, "e");
    const sign = i < 9 ? " é €" : "";
    all += `<div class="section s${draw(9)}" id="p${i}"><h2><a href="#p${i + 1}">${i}</a></h2>\n  <p>${text}${sign}</p></div>\n`;
  }
  return all.padEnd(size - end.length) + end;
}

/** Few bytes that shrink between many that do not, 1042328 together. */
function pdf(): Uint8Array {
  const draw = drawing(0x0bdf0bdf);
  const all = new Uint8Array(1_042_328);
  let at = 0;
  const add = (text: string) => {
    at += new TextEncoder().encodeInto(text, all.subarray(at)).written;
  };
  add("%PDF-1.4\n%\u00e4\u00fc\u00f6\n");
  for (let id = 1; at < all.length; id++) {
    const length = Math.min(2000 + draw(30_000), all.length - at);
    add(`${id} 0 obj\n<< /Type /Page /Parent ${id + 1} 0 R /Length ${length} /Filter /FlateDecode >>\nstream\n`);
    for (const end = Math.min(at + length, all.length); at < end; at++) all[at] = draw(256);
    add("\nendstream\nendobj\n");
  }
  return all;
}

/** The first bytes of a text; a character that does not fit is replaced. */
function cutText(text: string, size: number): Uint8Array {
  const all = new Uint8Array(size).fill(0x2e);
  new TextEncoder().encodeInto(text, all);
  return all;
}
