import { drivingClients, drivingServer } from "./peers.ts";
import { COMPRESSION, readStored, testCompression } from "./suite.ts";

const settings = { ...COMPRESSION, websocket_compression_engine: "web" };

testCompression("the server with the web engine", readStored("./expected_server.json"), drivingServer(settings));
testCompression("the client with the web engine", readStored("./expected_client.json"), drivingClients(settings));
