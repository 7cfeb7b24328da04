/** One client that sends many requests at once does not keep others waiting. */

import { assert, assertEquals } from "@std/assert";
import { HttpServer } from "../../mod.ts";
import { servingOn, testLanes } from "../support/lanes.ts";
import { RawClient } from "../support/raw_client.ts";

const GET = "GET /many HTTP/1.1\r\nHost: x\r\n\r\n";

testLanes("2,000 pipelined requests get their responses in order, and another client is served in between", async (runtime) => {
  const server = new HttpServer("127.0.0.1", 0);
  let count = 0;
  let others = 0;
  let first = 0; // how many of the many had begun when the other client was served
  server.on("request", (request, response) => {
    if (request.server.request_uri === "/many") return void response.end(`${++count}`);
    others++;
    first = count;
    response.end("other");
  });
  await servingOn(runtime, server, async (_server, port) => {
    const other = await RawClient.connect(port);
    const flooder = await RawClient.connect(port);
    flooder.send(GET.repeat(2000));
    other.send("GET /other HTTP/1.1\r\nHost: x\r\n\r\n");
    assertEquals((await other.readAnswer()).body, "other");
    for (let i = 1; i <= 2000; i++) assertEquals((await flooder.readAnswer()).body, `${i}`);
    assertEquals(others, 1);
    assert(first < 2000, `${first} requests were begun before the other client had its turn`);
    other.destroy();
    flooder.destroy();
  });
});
