/*
 * Checks the whole harness against a server whose latencies are known, on the wall clock. Wants a quiet
 * machine, so it is no part of the test suite:
 *
 *   npm run bench:self-test
 */
import { readFileSync, rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { FakeOpenAiServer, type FakeServerOptions } from "../test/support/fake-openai-server.ts";
import { benchCommand } from "./cli.ts";
import type { BenchResult } from "./report/bench-result.ts";

const folder = mkdtempSync(join(tmpdir(), "headway-bench-"));
let failures = 0;

function check(name: string, found: number | undefined, [low, high]: readonly [number, number]): void {
  const holds = found !== undefined && found >= low && found <= high;
  if (!holds) failures++;
  console.log(
    `${holds ? "ok  " : "FAIL"} ${name}: ${found?.toFixed(3)} (${low.toFixed(2)} .. ${high.toFixed(2)})`,
  );
}

const withinOnePercent = (known: number): [number, number] => [known * 0.99, known * 1.01];

async function measure(server: Partial<FakeServerOptions>, ...options: string[]): Promise<BenchResult> {
  const fake = await FakeOpenAiServer.start(server);
  const json = join(folder, "result.json");
  try {
    const code = await benchCommand(["--url", fake.url, "--no-live", "--json", json, ...options]);
    if (code !== 0) throw new Error(`the benchmark ended with code ${code}`);
    return JSON.parse(readFileSync(json, "utf8")) as BenchResult;
  } finally {
    await fake.stop();
  }
}

async function knownLatencies(): Promise<void> {
  const server = { ttftMs: 400, itlMs: 50, tokensPerWord: 1.3, overheadTokens: 12 };
  const load = ["--rate", "10", "--duration", "10", "--warmup", "2", "--output-tokens", "21"];
  const { latency } = await measure(server, ...load);
  check("TTFT p50, known 400 ms", latency.ttft?.p50, withinOnePercent(400));
  check("TPOT p50, known 50 ms", latency.tpot?.p50, withinOnePercent(50));
  check("ITL p50, known 50 ms", latency.itl?.p50, withinOnePercent(50));
  check("E2EL p50, known 1400 ms", latency.e2el?.p50, withinOnePercent(1400));
}

async function knownThroughput(): Promise<void> {
  const load = ["--concurrency", "10", "--duration", "10", "--warmup", "2", "--output-tokens", "19"];
  const { rates } = await measure({ ttftMs: 100, itlMs: 50 }, ...load);
  check("requests/s of 10 clients at 1 s each", rates.requestThroughput, [9.5, 10.1]);
  check("output tokens/s", rates.outputThroughput, [182, 192]);
}

/** A silence of 1 s in 10 s at 100 requests/s: a tester that omits what it could not send shows 10 ms. */
async function countedOmission(): Promise<void> {
  const server = { ttftMs: 10, itlMs: 1, stallAtMs: 5000, stallMs: 1000 };
  const load = ["--rate", "100", "--burstiness", "inf", "--duration", "10", "--output-tokens", "1"];
  const { latency } = await measure(server, ...load);
  check("p99 TTFT with a 1 s stall in 10 s", latency.ttft?.p99, [850, 1060]);
  check("p50 TTFT beside it", latency.ttft?.p50, [9.9, 13]);
}

try {
  await knownLatencies();
  await knownThroughput();
  await countedOmission();
} finally {
  rmSync(folder, { recursive: true });
}
process.exitCode = failures === 0 ? 0 : 1;
