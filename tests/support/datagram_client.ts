/**
 * A client that sends datagrams and collects replies. It shares no code with the server under test.
 *
 * @module
 */

import dgram from "node:dgram";

/** A received datagram: its text and its sender. */
export interface Datagram {
  readonly text: string;
  readonly address: string;
  readonly port: number;
}

/** The time to wait for a datagram, in milliseconds. */
const PATIENCE = 10_000;

/** A UDP socket on a free port of the loopback interface. */
export class DatagramClient {
  readonly #socket: dgram.Socket;
  readonly #arrived: Datagram[] = [];
  #wake: (() => void) | undefined = undefined;

  constructor(socket: dgram.Socket) {
    this.#socket = socket;
    socket.on("message", (data, { address, port }) => {
      this.#arrived.push({ text: data.toString(), address, port });
      this.#wake?.();
    });
  }

  static open(family: 4 | 6 = 4): Promise<DatagramClient> {
    return new Promise((resolve, reject) => {
      const socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
      socket.once("error", reject);
      socket.bind({ address: family === 6 ? "::1" : "127.0.0.1", port: 0 }, () => resolve(new DatagramClient(socket)));
    });
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(data: string | Uint8Array, port: number, address = "127.0.0.1"): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(data, port, address, (error) => error ? reject(error) : resolve());
    });
  }

  /** Returns the next datagram. */
  async receive(): Promise<Datagram> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    while (this.#arrived.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        timer ??= setTimeout(() => reject(new Error("No datagram has come")), PATIENCE);
      });
    }
    clearTimeout(timer);
    return this.#arrived.shift()!;
  }

  close(): Promise<void> {
    return new Promise((resolve) => void this.#socket.close(() => resolve()));
  }
}

/** Opens a client, runs a test with it, and always closes it. */
export async function withClient(work: (client: DatagramClient) => Promise<void>, family: 4 | 6 = 4): Promise<void> {
  const client = await DatagramClient.open(family);
  try {
    await work(client);
  } finally {
    await client.close();
  }
}
