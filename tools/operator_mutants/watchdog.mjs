// A thread that ends its process when that has used more time of a processor than it is given: a mutant may loop for ever. Time by the
// clock would depend on what else the machine does.

import process from "node:process";
import { workerData } from "node:worker_threads";

/** The time of a processor in milliseconds that this process has used, all its threads together. */
export function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

if (workerData instanceof Float64Array) {
  setInterval(() => used() > workerData[0] && process.kill(process.pid, "SIGKILL"), 100);
}
