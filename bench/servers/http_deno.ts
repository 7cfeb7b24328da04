// Deno's own server.

import { application } from "./http_app.ts";
import { ready } from "./support.mjs";

Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: (address) => ready(address.port) }, application());
