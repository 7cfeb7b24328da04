/**
 * A peer that does what a script says, right or wrong, to see what the suite makes of it.
 *
 * @module
 */

import net from "node:net";
import { closeFrame, frame, type FrameSpec, handshake, RawClient, type RawFrame, SAMPLE_ACCEPT } from "../support/raw_client.ts";
import type { Case } from "./case.ts";
import { ClientDriver, type Driver, ServerDriver } from "./driver.ts";
import type { Role } from "./endpoint.ts";
import { type Result, runCase } from "./run_case.ts";
import { CASES } from "./suite.ts";

/** What a peer does on a connection after the handshake. */
export type Script = (peer: ScriptedPeer) => Promise<void>;

/** Header fields that replace the proper ones of a handshake; `null` leaves one out. */
export type Fields = Readonly<Record<string, string | null>>;

type Play = (raw: RawClient) => Promise<void>;

/** The peer's side of a connection. */
export class ScriptedPeer {
  readonly raw: RawClient;
  readonly role: Role;
  /** When the case is over. */
  readonly judged: Promise<void>;
  #frames = 0;

  constructor(raw: RawClient, role: Role, judged: Promise<void>) {
    this.raw = raw;
    this.role = role;
    this.judged = judged;
  }

  /** Sends a frame; a client masks it. */
  sendFrame(spec: FrameSpec): void {
    this.#frames++;
    this.raw.send(frame({ ...spec, mask: this.role === "client", key: [1, 2, this.#frames >> 8, this.#frames & 255] }));
  }

  send(opcode: number, payload: string | Uint8Array = ""): void {
    this.sendFrame({ opcode, payload });
  }

  /** Sends a Close. */
  close(code?: number): void {
    this.send(8, closeFrame(code, "", false).subarray(2));
  }

  /** Reads a frame; `null` when the connection ends instead. */
  read(): Promise<RawFrame | null> {
    return this.raw.readFrame();
  }

  /** Reads frames up to a Close. */
  async readClose(): Promise<void> {
    let next = await this.read();
    while (next !== null && next.opcode !== 8) next = await this.read();
  }

  /** Sends a Close and ends TCP as its role asks for: a server at once, a client when the server has. */
  async leave(code?: number): Promise<void> {
    this.close(code);
    if (this.role === "server") this.raw.end();
    await this.raw.readFrames();
    this.raw.end();
  }

  /** Ends TCP without a Close. */
  async hangUp(): Promise<void> {
    this.raw.end();
    await this.raw.readFrames();
  }

  /** Waits for a round trip's ping, so that a step that needs an open connection is passed. */
  async passProbe(): Promise<void> {
    let next = await this.read();
    while (next!.opcode !== 9) next = await this.read();
    this.send(10, next!.payload);
  }
}

/**
 * Plays a script, once for each connection, and runs a case against it.
 *
 * @param test The case, or its number.
 * @param headers Header fields of the peer's half of the handshake, to spoil it or to add to it.
 */
export async function verdictOn(
  role: Role,
  test: string | Case,
  script: Script,
  patience?: number,
  headers: Fields = {},
): Promise<Result> {
  let over = () => {};
  const judged = new Promise<void>((resolve) => over = resolve);
  const play = (raw: RawClient) => script(new ScriptedPeer(raw, role, judged)).finally(() => raw.destroy());
  const { driver, stop } = role === "server" ? await driveServer(play, headers) : await driveClients(play, headers);
  try {
    const found = typeof test === "string" ? CASES.find(({ id }) => id === test)! : test;
    return await runCase(found, driver, patience);
  } finally {
    over();
    await stop();
  }
}

async function driveServer(play: Play, headers: Fields): Promise<{ driver: Driver; stop: () => Promise<unknown> }> {
  const fields = { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Accept": SAMPLE_ACCEPT, ...headers };
  const lines = Object.entries(fields).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  const done: Promise<void>[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const raw = new RawClient(socket);
    done.push((async () => {
      await raw.readHead();
      raw.send(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      await play(raw);
    })());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.close();
    return Promise.all(done);
  };
  return { driver: new ServerDriver((server.address() as net.AddressInfo).port), stop };
}

async function driveClients(play: Play, headers: Fields): Promise<{ driver: Driver; stop: () => Promise<unknown> }> {
  const driver = await ClientDriver.listen(async (port) => {
    const raw = await RawClient.connect(port);
    const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    raw.send(handshake("/", { "Sec-WebSocket-Key": key, ...headers }));
    await raw.readHead().catch(() => ""); // a wrong handshake is not answered
    await play(raw);
  });
  return { driver, stop: () => driver.stop() };
}
