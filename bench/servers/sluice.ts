// Sluice as a program gets it: the native lane of the runtime that it runs in.

import { serve } from "./sluice_program.ts";

await serve();
