// An application that makes a mistake, and prints where the exception comes from.

import { WebSocketServer } from "@sluice/server";

try {
  new WebSocketServer("", 0);
} catch (error) {
  console.log(error.stack);
}
