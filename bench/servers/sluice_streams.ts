// Sluice over the portable lane: the same program, but its connections show nothing except their two web streams.

import process from "node:process";
import { type BytePipe, type Runtime, setRuntime } from "../../mod.ts";
import { serve } from "./sluice_program.ts";

function withoutLane(pipe: BytePipe): BytePipe {
  return {
    readable: pipe.readable,
    writable: pipe.writable,
    get localAddress() {
      return pipe.localAddress;
    },
    get remoteAddress() {
      return pipe.remoteAddress;
    },
    abort: () => pipe.abort(),
  };
}

const name = process.versions.deno ? "deno" : process.versions.bun ? "bun" : "node";
const { runtime } = await import(`../../adapters/${name}.ts`) as { runtime: Runtime };
setRuntime({
  ...runtime,
  listen: (options, accept, failed) => runtime.listen(options, (pipe) => accept(withoutLane(pipe)), failed),
});
await serve();
