/* Entry of a load worker process: one event loop that sends its share of a run. */
import { monitorEventLoopDelay } from "node:perf_hooks";

import type { Progress, FromWorker, ToWorker, WorkerJob } from "./worker-protocol.ts";
import type { RequestRecord } from "./request.ts";

import { createSessions } from "../workloads/create-sessions.ts";
import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { arrivalTimes } from "./arrival-schedule.ts";
import { MonotonicClock } from "./clock.ts";
import { createClient } from "./create-client.ts";
import { LoadRunner } from "./load-runner.ts";
import { PromptWriter } from "./prompt-writer.ts";
import { RequestSender } from "./request-sender.ts";

/** How often records and totals go to the parent: one message then carries many records. */
const REPORT_EVERY_MS = 250;
const LOOP_DELAY_RESOLUTION_MS = 10;

function post(message: FromWorker): void {
  process.send?.(message);
}

class Reporter {
  readonly #progress: Progress = { numSent: 0, numInFlight: 0, numTokens: 0 };
  #records: RequestRecord[] = [];

  sent(): void {
    this.#progress.numSent++;
    this.#progress.numInFlight++;
  }

  tokens(numTokens: number): void {
    this.#progress.numTokens += numTokens;
  }

  ended(record: RequestRecord): void {
    this.#progress.numInFlight--;
    this.#records.push(record);
  }

  flush(): void {
    post({ type: "progress", progress: this.#progress, records: this.#records });
    this.#records = [];
  }
}

async function runJob(
  job: WorkerJob,
  originNs: bigint,
  onSender: (sender: RequestSender) => void,
): Promise<void> {
  const { target, load, worker } = job;
  const clock = new MonotonicClock(originNs);
  const client = createClient({ target, clock, slowReadMs: load.slowReadMs });
  const reporter = new Reporter();
  const sender = new RequestSender({
    target,
    client,
    clock,
    promptWriter: new PromptWriter(job.calibration, job.textSeed),
    worker: worker.index,
    onTokens: (numTokens) => reporter.tokens(numTokens),
  });
  onSender(sender);
  const runner = new LoadRunner({
    load,
    sessions: createSessions(job.workload),
    arrivals: arrivalsOf(job),
    worker,
    clock,
    sender,
    onSend: () => reporter.sent(),
    onRecord: (record) => reporter.ended(record),
  });
  const usage = await measureUsage(() => withReports(reporter, () => runner.run()));
  client.close();
  post({ type: "done", usage });
}

/** A trace's own times replace these; the schedule then only marks the loop as open. */
function arrivalsOf({ load, workload }: WorkerJob): Iterable<number> | null {
  if (load.shape === null)
    return workload.useTraceTimes ? arrivalTimes({ kind: "steady", rate: 1 }, 1, Math.random) : null;
  return arrivalTimes(load.shape, load.burstiness, seededRandom(deriveSeed(load.seed, "arrivals")));
}

async function withReports(reporter: Reporter, run: () => Promise<void>): Promise<void> {
  const timer = setInterval(() => reporter.flush(), REPORT_EVERY_MS);
  try {
    await run();
  } finally {
    clearInterval(timer);
    reporter.flush();
  }
}

async function measureUsage(run: () => Promise<void>) {
  const delays = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
  delays.enable();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await run();
  const cpu = process.cpuUsage(cpuBefore);
  delays.disable();
  return {
    cpuMs: (cpu.user + cpu.system) / 1000,
    wallMs: performance.now() - startMs,
    loopDelayP99Ms: Math.max(0, delays.percentile(99) / 1e6 - LOOP_DELAY_RESOLUTION_MS),
  };
}

let job: WorkerJob | null = null;
let sender: RequestSender | null = null;

process.on("message", (message: ToWorker) => {
  if (message.type === "job") {
    job = message.job;
    post({ type: "ready" });
  } else if (message.type === "go") {
    runJob(job as WorkerJob, BigInt(message.originNs), (made) => (sender = made))
      .catch((error: unknown) => post({ type: "failed", message: String(error) }))
      .finally(() => process.disconnect());
  } else {
    sender?.abortAll();
    process.exit(0);
  }
});

// Ctrl-C reaches the whole process group; the parent decides what an interrupted run still reports.
process.on("SIGINT", () => {});

// A parent that died must not leave a load generator behind.
process.on("disconnect", () => process.exit(0));
