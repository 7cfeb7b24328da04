import { drivingCoroutineServer } from "./peers.ts";
import { COMPRESSION, readStored, testCompression, testConformance } from "./suite.ts";

const stored = readStored("./expected_server.json");

testConformance("the coroutine server", stored, drivingCoroutineServer());
testCompression("the compressing coroutine server", stored, drivingCoroutineServer(COMPRESSION));
