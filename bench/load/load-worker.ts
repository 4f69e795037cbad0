/* Entry of a load worker process: one event loop that sends its share of a run. */
import { monitorEventLoopDelay } from "node:perf_hooks";

import type { Progress, FromWorker, ToWorker, WorkerJob } from "./worker-protocol.ts";
import type { RequestRecord } from "./request.ts";

import { createSessions } from "../workloads/create-sessions.ts";
import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { arrivalTimes } from "./arrival-schedule.ts";
import { MonotonicClock } from "./clock.ts";
import type { LoadClient } from "./load-client.ts";
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

/** Leaves after the last message has been written: one that is still in the pipe would be lost. */
function postLast(message: FromWorker): void {
  process.send?.(message, () => process.disconnect());
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

/** One job from readiness to its last record. */
class WorkerRun {
  readonly #job: WorkerJob;
  readonly #clock = new MonotonicClock(process.hrtime.bigint());
  readonly #client: LoadClient;
  readonly #reporter = new Reporter();
  readonly #sender: RequestSender;

  constructor(job: WorkerJob) {
    const { target, worker } = job;
    this.#job = job;
    this.#client = createClient({ target, clock: this.#clock, slowReadMs: job.load.slowReadMs });
    this.#sender = new RequestSender({
      target,
      client: this.#client,
      clock: this.#clock,
      promptWriter: new PromptWriter(job.calibration, job.textSeed),
      worker: worker.index,
      onTokens: (numTokens) => this.#reporter.tokens(numTokens),
    });
  }

  warmUp(): Promise<void> {
    return this.#client.warmUp();
  }

  async run(originNs: bigint): Promise<void> {
    this.#clock.setOrigin(originNs);
    const runner = new LoadRunner({
      load: this.#job.load,
      sessions: createSessions(this.#job.workload),
      arrivals: arrivalsOf(this.#job),
      worker: this.#job.worker,
      clock: this.#clock,
      sender: this.#sender,
      onSend: () => this.#reporter.sent(),
      onRecord: (record) => this.#reporter.ended(record),
    });
    const usage = await measureUsage(() => withReports(this.#reporter, () => runner.run()));
    this.#client.close();
    postLast({ type: "done", usage });
  }
}

function arrivalsOf({ load, workload }: WorkerJob): Iterable<number> | null {
  if (load.shape !== null) {
    return arrivalTimes(load.shape, load.burstiness, seededRandom(deriveSeed(load.seed, "arrivals")));
  }
  return workload.useTraceTimes ? untimed() : null;
}

/** A trace brings its own times, which replace these; that they exist makes the loop an open one. */
function* untimed(): Generator<number> {
  for (;;) yield 0;
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

let current: WorkerRun | null = null;

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "job":
      current = new WorkerRun(message.job);
      await current.warmUp();
      post({ type: "ready" });
      break;
    case "go":
      await current?.run(BigInt(message.originNs));
      break;
    case "abort":
      process.exit(0);
  }
}

process.on("message", (message: ToWorker) => {
  handle(message).catch((error: unknown) => {
    postLast({ type: "failed", message: String(error) });
  });
});

// Ctrl-C reaches the whole process group; the parent decides what an interrupted run still reports.
process.on("SIGINT", () => {});

// A parent that died must not leave a load generator behind.
process.on("disconnect", () => process.exit(0));
