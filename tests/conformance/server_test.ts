import { drivingServer } from "./peers.ts";
import { COMPRESSION, readStored, testCompression, testConformance } from "./suite.ts";

const stored = readStored("./expected_server.json");

testConformance("the server", stored, drivingServer());
testCompression("the compressing server", stored, drivingServer(COMPRESSION));
