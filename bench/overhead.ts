/*
 * Measures what the load generator itself costs: one worker follows streams that together bring a given
 * number of token chunks a second, and its CPU time tells how many a core could follow.
 *
 *   npm run bench:overhead -- [chunks per second] [streams] [seconds]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import type { RunJob } from "./load/worker-pool.ts";

import { configFromArguments } from "./config-from-arguments.ts";
import { UNCALIBRATED } from "./load/prompt-writer.ts";
import { runLoad } from "./load/worker-pool.ts";

/** What one core must be able to follow. */
const REQUIRED_CHUNKS_PER_SECOND = 20_000;

const [chunksPerSecond = 20_000, numStreams = 64, seconds = 10] = process.argv.slice(2).map(Number);

function job(port: number): RunJob {
  const load = `--url http://127.0.0.1:${port} --concurrency ${numStreams} --duration ${seconds} --drain 0`;
  const config = configFromArguments(`${load} --input-tokens 32 --output-tokens 2000`.split(" "), "m");
  return { ...config, calibration: UNCALIBRATED };
}

async function measure(port: number): Promise<boolean> {
  let numChunks = 0;
  const observer = {
    onProgress: () => {},
    onRecords: (records: readonly { chunkMs: number[] }[]) => {
      for (const record of records) numChunks += record.chunkMs.length;
    },
  };
  const [usage] = await runLoad(job(port), { numWorkers: 1, observer });
  if (usage === undefined) throw new Error("the worker reported nothing");
  const perChunkMicros = (usage.cpuMs * 1000) / numChunks;
  const capacity = 1e6 / perChunkMicros;
  console.log(
    [
      `${(numChunks / (usage.wallMs / 1000)).toFixed(0)} chunks/s followed on ${numStreams} streams,`,
      `${((usage.cpuMs / usage.wallMs) * 100).toFixed(0)} % of a core,`,
      `${perChunkMicros.toFixed(1)} us of CPU a chunk, event loop delay p99 ${usage.loopDelayP99Ms.toFixed(1)} ms:`,
      `one core could follow ${capacity.toFixed(0)} chunks/s (required ${REQUIRED_CHUNKS_PER_SECOND})`,
    ].join(" "),
  );
  return capacity >= REQUIRED_CHUNKS_PER_SECOND;
}

const server = fork(fileURLToPath(new URL("overhead-server.js", import.meta.url)), [String(chunksPerSecond)]);
try {
  const [port] = (await once(server, "message")) as [number];
  process.exitCode = (await measure(port)) ? 0 : 1;
} finally {
  server.disconnect();
}
