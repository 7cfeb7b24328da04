/**
 * The parameters and files of a request whose shape a test knows.
 *
 * @module
 */

import type { FileFields, FormFields } from "../../mod.ts";

/** Returns parameters or files as they are, without their type: the test sent them, or fails. */
// deno-lint-ignore no-explicit-any
export function known(fields: FormFields | FileFields): Record<string, any> {
  return fields;
}
