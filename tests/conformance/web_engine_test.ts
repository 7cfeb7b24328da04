import { drivingClients, drivingServer } from "./peers.ts";
import { COMPRESSION, readStored, testCompression } from "./suite.ts";

// A `CompressionStream` has a window of 15 bits and forgets each message. So a server with this engine does not accept an offer
// that asks for 9 bits (13.3, 13.5: not implemented; in 13.7 it takes the second offer). A client with it does not offer to be
// asked for a window, and a server may then not even ask for 15 bits (13.3 to 13.6: not implemented; 13.7 again the second one).
const settings = { ...COMPRESSION, websocket_compression_engine: "web" };

testCompression("the server with the web engine", readStored("./expected_web_server.json"), drivingServer(settings));
testCompression("the client with the web engine", readStored("./expected_web_client.json"), drivingClients(settings));
