// Sluice with prepared messages: what is sent to many is framed and compressed once.

import { serve } from "./sluice_program.ts";

await serve((server, frame) => server.prepare(frame.data, frame.opcode));
