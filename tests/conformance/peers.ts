/**
 * The peers under test: both styles of server and the client. Each echoes every message, compressed if it came compressed.
 *
 * @module
 */

import { CloseFrame, type ServerSettings, WebSocketServer } from "../../mod.ts";
import { HttpClient, type HttpClientSettings, HttpServer } from "../../src/coroutine/mod.ts";
import { serving } from "../support/serving.ts";
import { ClientDriver, ServerDriver } from "./driver.ts";
import { type Driving, MAX_LENGTH } from "./suite.ts";

/** A server of the event style. */
export function drivingServer(settings: ServerSettings = {}): Driving {
  return (run) => {
    const server = new WebSocketServer("127.0.0.1", 0);
    server.set({ package_max_length: MAX_LENGTH, ...settings });
    server.on("message", (server, frame) => server.push(frame.fd, frame));
    return serving(server, (_server, port) => run(new ServerDriver(port)));
  };
}

/** A server of the coroutine style. */
export function drivingCoroutineServer(settings: ServerSettings = {}): Driving {
  return (run) => {
    const server = new HttpServer("127.0.0.1");
    server.set({ package_max_length: MAX_LENGTH, ...settings });
    server.handle("/", async (_request, ws) => {
      await ws.upgrade();
      for await (const frame of ws) await ws.push(frame);
    });
    return serving(server, (_server, port) => run(new ServerDriver(port)));
  };
}

/** Clients, which echo until the server closes. */
export function drivingClients(settings: HttpClientSettings = {}): Driving {
  const echo = async (port: number) => {
    const client = new HttpClient("127.0.0.1", port);
    client.set({ package_max_length: MAX_LENGTH, open_websocket_pong_frame: false, ...settings });
    if (!await client.upgrade("/")) return;
    while (true) {
      const received = await client.recv();
      if (received === "" || received === false) return;
      if (!(received instanceof CloseFrame)) await client.push(received);
    }
  };
  return async (run) => {
    const driver = await ClientDriver.listen(echo);
    try {
      await run(driver);
    } finally {
      await driver.stop();
    }
  };
}
