import { WebSocketServer } from "../../mod.ts";
import { serving } from "../support/serving.ts";
import { ServerDriver } from "./driver.ts";
import { MAX_LENGTH, readStored, testConformance } from "./suite.ts";

testConformance("the server", readStored("./expected_server.json"), (run) => {
  const server = new WebSocketServer("127.0.0.1", 0);
  server.set({ package_max_length: MAX_LENGTH });
  server.on("message", (server, frame) => server.push(frame.fd, frame));
  return serving(server, (_server, port) => run(new ServerDriver(port)));
});
