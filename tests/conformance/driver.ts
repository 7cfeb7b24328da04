/**
 * How the suite gets connections to what it tests: it connects to a server, or has a client connect to it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import net from "node:net";
import { handshake, RawClient, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import type { Compression } from "./case.ts";
import { Endpoint, type Opening } from "./endpoint.ts";
import { chooseAnswer, offerOf, takeAnswer } from "./permessage_deflate.ts";

/** The peer under test, in either role. */
export interface Driver {
  /** Makes one more connection, with our half of the opening handshake. No extension is offered, or accepted, but this one. */
  connect(compression?: Compression): Promise<Endpoint>;
}

/** Drives a server: the suite is the client. */
export class ServerDriver implements Driver {
  readonly #port: number;

  /** @param port Where the echo server listens on 127.0.0.1. */
  constructor(port: number) {
    this.#port = port;
  }

  async connect(compression?: Compression): Promise<Endpoint> {
    const socket = await RawClient.connect(this.#port);
    socket.send(handshake("/", { "Sec-WebSocket-Extensions": compression === undefined ? null : offerOf(compression) }));
    return new Endpoint(socket, "client", readAnswer(await readHead(socket), compression));
  }
}

/** Drives clients: the suite is the server. */
export class ClientDriver implements Driver {
  readonly #server: net.Server;
  readonly #start: (port: number) => Promise<void>;
  readonly #clients: Promise<void>[] = [];
  readonly #keys: Set<string> = new Set();

  private constructor(server: net.Server, start: (port: number) => Promise<void>) {
    this.#server = server;
    this.#start = start;
  }

  /**
   * Listens on a free port of 127.0.0.1.
   *
   * @param start Connects an echo client to the port, and resolves when that has ended.
   */
  static async listen(start: (port: number) => Promise<void>): Promise<ClientDriver> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new ClientDriver(server, start);
  }

  async connect(compression?: Compression): Promise<Endpoint> {
    const accepted = new Promise<RawClient>((resolve) => {
      this.#server.once("connection", (socket) => resolve(new RawClient(socket)));
    });
    const client = this.#start((this.#server.address() as net.AddressInfo).port);
    this.#clients.push(client);
    const ended = client.then(() => Promise.reject(new Error("The client ended before it was connected")));
    ended.catch(() => {}); // it always comes to that, later on; a failure is told by stop()
    const socket = await Promise.race([accepted, ended]);
    const head = await readHead(socket);
    const key = fieldsOf(head).get("sec-websocket-key") ?? "";
    let fault = requestFault(head);
    if (this.#keys.has(key)) fault ??= "the handshake's key is an old one";
    if (socket.pending.length > 0) fault ??= "a frame was sent before the handshake was answered";
    this.#keys.add(key);
    const offer = fieldsOf(head).get("sec-websocket-extensions");
    const chosen = compression === undefined || offer === undefined ? undefined : chooseAnswer(offer, compression);
    if (typeof chosen === "string") fault ??= chosen;
    if (fault !== undefined || typeof chosen === "string") return new Endpoint(socket, "server", { fault });
    socket.send(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${acceptValue(key)}\r\n` +
        (chosen === undefined ? "\r\n" : `Sec-WebSocket-Extensions: ${chosen.answer}\r\n\r\n`),
    );
    return new Endpoint(socket, "server", { agreed: chosen?.agreed });
  }

  /** Stops listening, and waits until all clients have ended. */
  async stop(): Promise<void> {
    this.#server.close();
    await Promise.all(this.#clients);
  }
}

/** The peer's half of the handshake; what there is of it when the connection ends early. */
function readHead(socket: RawClient): Promise<string> {
  return socket.readHead().catch(() => new TextDecoder().decode(socket.pending));
}

/** Header fields, names in lower case; those of the same name are joined by a comma. */
function fieldsOf(head: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of head.trimEnd().split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value);
  }
  return fields;
}

function hasToken(list: string | undefined, token: string): boolean {
  return list?.toLowerCase().split(",").some((one) => one.trim() === token) ?? false;
}

/** What is wrong with a client's handshake (RFC 6455 section 4.1). */
function requestFault(head: string): string | undefined {
  const fields = fieldsOf(head);
  if (!head.endsWith("\r\n\r\n")) return "the handshake is cut off";
  if (!/^GET \/[\x21-\x7e]* HTTP\/1\.1\r\n/.test(head)) return "the handshake is no GET of HTTP/1.1";
  if (!/^[^, ]+$/.test(fields.get("host") ?? "")) return "the handshake does not have one Host";
  if (!hasToken(fields.get("upgrade"), "websocket")) return "the handshake has no Upgrade to websocket";
  if (!hasToken(fields.get("connection"), "upgrade")) return "the handshake's Connection does not say Upgrade";
  if (fields.get("sec-websocket-version") !== "13") return "the handshake's version is not 13";
  // 16 bytes in Base64: the last of 22 digits has four bits that are 0.
  if (!/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(fields.get("sec-websocket-key") ?? "")) return "the handshake has no proper key";
  return undefined;
}

/** What comes of a server's answer to our handshake. */
function readAnswer(head: string, compression?: Compression): Opening {
  const fault = answerFault(head);
  const extensions = fieldsOf(head).get("sec-websocket-extensions");
  if (fault !== undefined || extensions === undefined) return { fault };
  if (compression === undefined) return { fault: "the handshake's answer has an extension that was not offered" };
  const agreed = takeAnswer(extensions, compression);
  return typeof agreed === "string" ? { fault: agreed } : { agreed };
}

/** What is wrong with a server's answer to our handshake (RFC 6455 section 4.2.2), its extensions left aside. */
function answerFault(head: string): string | undefined {
  const fields = fieldsOf(head);
  if (!head.endsWith("\r\n\r\n")) return "the handshake's answer is cut off";
  if (!head.startsWith("HTTP/1.1 101 ")) return "the handshake was refused";
  if (!hasToken(fields.get("upgrade"), "websocket")) return "the handshake's answer has no Upgrade to websocket";
  if (!hasToken(fields.get("connection"), "upgrade")) return "the handshake's answer has a Connection that does not say Upgrade";
  if (fields.get("sec-websocket-accept") !== SAMPLE_ACCEPT) return "the handshake's answer has a wrong accept value";
  return undefined;
}

function acceptValue(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
