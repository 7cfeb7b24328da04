/** @module */
import type { WaitingResponse } from "./http_response.ts";
export function sendFile(_r: WaitingResponse, _p: string, _o: number, _l: number): Promise<boolean> {
  return Promise.resolve(false);
}
