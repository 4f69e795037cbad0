import type { BenchConfig } from "../../bench/bench-config.ts";
import type { RequestRecord } from "../../bench/load/request.ts";
import { benchResult, type BenchResult } from "../../bench/report/bench-result.ts";
import { recordOf } from "./simulated-load.ts";

export const BENCH_CONFIG: BenchConfig = {
  target: {
    url: "http://127.0.0.1:1",
    api: "chat",
    model: "m",
    key: "secret-key",
    timeoutMs: 1000,
    counting: "usage",
    ignoreEos: true,
    temperature: null,
    extraBody: {},
  },
  load: {
    shape: { kind: "steady", rate: 10 },
    burstiness: 1,
    concurrency: null,
    maxRequests: null,
    durationMs: null,
    rampUpMs: 0,
    drainMs: 1000,
    cancelShare: 0,
    slowShare: 0,
    slowReadMs: 1,
    keepText: false,
    seed: 1,
  },
  workload: {
    name: "random",
    seed: 1,
    inputTokens: { kind: "fixed", tokens: 10 },
    outputTokens: { kind: "fixed", tokens: 3 },
    tenants: [{ name: "t", weight: 1, key: "tenant-key" }],
    schema: null,
    prefixTokens: 1,
    numPrefixes: 1,
    turns: 1,
    thinkMs: 0,
    intruderEvery: 1,
    intruderTokens: 1,
    file: null,
    scaleLength: 1,
    scaleTime: 1,
    maxInputTokens: 1e6,
    maxOutputTokens: 1e6,
    useTraceTimes: false,
  },
  slo: { ttft: 100 },
  warmupMs: 0,
  cooldownMs: 0,
  numRuns: 1,
  numWorkers: 1,
  textSeed: 1,
  maxLagMs: 5,
  calibrate: true,
};

/** Requests every 100 ms with the given TTFT, two tokens 10 ms apart after the first. */
export function steadyRun(ttftMs: number, numRequests = 50, lagMs = 0): RequestRecord[] {
  return Array.from({ length: numRequests }, (_, index) => {
    const scheduledMs = index * 100;
    const first = scheduledMs + ttftMs + index * 0.01;
    const chunkMs = [first, first + 10, first + 20];
    return recordOf({ index, scheduledMs, sentMs: scheduledMs + lagMs, chunkMs, endMs: first + 20 });
  });
}

/** The result of runs with these records. */
export function benchResultOf(...runs: RequestRecord[][]): BenchResult {
  const usage = [{ cpuMs: 10, wallMs: 1000, loopDelayP99Ms: 1 }];
  return benchResult({
    config: BENCH_CONFIG,
    data: {
      runs: runs.map((records) => ({ records, usage })),
      calibration: { tokensPerWord: 1, overheadTokens: 0, isMeasured: true },
      interrupted: false,
    },
    server: { url: "http://127.0.0.1:1", version: null, model: "m", models: ["m"] },
    date: new Date(0),
  });
}
