// Checks the server at the given address with our own client. Prints "done" when all is well.

import process from "node:process";
import { checkServer } from "./http_client_checks.ts";

const compresses = process.argv[3] === "compresses";
await checkServer(Number(new URL(process.argv[2]).port), { pings: true, drops: true, compresses });
console.log("done");
