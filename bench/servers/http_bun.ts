// Bun's own server.

import { application } from "./http_app.ts";
import { ready } from "./support.mjs";

interface BunApi {
  serve(options: { hostname: string; port: number; fetch: ReturnType<typeof application> }): { readonly port: number };
}

const { Bun } = globalThis as unknown as { Bun: BunApi };
ready(Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: application() }).port);
