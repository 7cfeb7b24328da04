/** The fetch-style application under test: for Deno's and Bun's own servers, and for Sluice. */

import { body, echoes } from "./http_body.mjs";

/**
 * The application that the row is about.
 *
 * @param init Its own header fields, if it needs any: the servers of the runtimes make a text `text/plain`.
 */
export function application(init?: ResponseInit): (request: Request) => Response | Promise<Response> {
  if (echoes) return async (request) => new Response(await request.text(), init);
  return () => new Response(body, init);
}
