import type { BenchConfig } from "../bench-config.ts";
import type { RequestRecord } from "../load/request.ts";
import type { Progress } from "../load/worker-protocol.ts";
import type { BenchObserver } from "../run-benchmark.ts";

import { percentileOfSorted } from "../measure/bootstrap.ts";
import { interTokenGaps, requestMetrics } from "../measure/request-metrics.ts";
import { formatMs, formatRate } from "./format.ts";

/** Where the view is drawn; stderr, so that stdout stays clean for results. */
export interface ViewOutput {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

const PLAIN_EVERY_MS = 5000;
const DRAW_EVERY_MS = 250;
const RECENT_MS = 10_000;
const MAX_SPARKS = 40;
const SPARKS = "▁▂▃▄▅▆▇█";

/** A line of block characters, scaled to the largest value. */
export function sparkline(values: readonly number[]): string {
  const max = Math.max(...values, Number.EPSILON);
  return values
    .map((value) => SPARKS[Math.min(SPARKS.length - 1, Math.floor((value / max) * SPARKS.length))])
    .join("");
}

interface Recent {
  atMs: number;
  ttftMs: number | null;
  itlMs: number[];
}

/**
 * The running state: redrawn in place on a terminal, a plain line every five seconds elsewhere. Holds
 * only the last ten seconds of requests.
 */
export class LiveView implements BenchObserver {
  readonly #output: ViewOutput;
  readonly #now: () => number;
  #startMs = 0;
  #lastDrawMs = 0;
  #linesDrawn = 0;
  #runLabel = "";
  #durationMs: number | null = null;
  #progress: Progress = { numSent: 0, numInFlight: 0, numTokens: 0 };
  #numDone = 0;
  #numFailed = 0;
  #recent: Recent[] = [];
  /** Totals at each past second, for rates. */
  #perSecond: { numTokens: number; numDone: number }[] = [];

  constructor(output: ViewOutput, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  onRunStart(runIndex: number, config: BenchConfig): void {
    this.#startMs = this.#lastDrawMs = this.#now();
    this.#runLabel = config.numRuns > 1 ? `run ${runIndex + 1}/${config.numRuns} ` : "";
    this.#durationMs = config.load.durationMs;
    this.#progress = { numSent: 0, numInFlight: 0, numTokens: 0 };
    this.#numDone = this.#numFailed = this.#linesDrawn = 0;
    this.#recent = [];
    this.#perSecond = [];
  }

  onRecords(records: readonly RequestRecord[]): void {
    for (const record of records) {
      this.#numDone++;
      if (record.outcome === "error") this.#numFailed++;
      const { ttftMs } = requestMetrics(record);
      this.#recent.push({ atMs: this.#now(), ttftMs, itlMs: interTokenGaps(record) });
    }
  }

  onProgress(progress: Progress): void {
    this.#progress = progress;
    const nowMs = this.#now();
    const second = Math.floor((nowMs - this.#startMs) / 1000);
    while (this.#perSecond.length <= second) {
      this.#perSecond.push({ numTokens: progress.numTokens, numDone: this.#numDone });
    }
    if (nowMs - this.#lastDrawMs < (this.#isTerminal() ? DRAW_EVERY_MS : PLAIN_EVERY_MS)) return;
    this.#lastDrawMs = nowMs;
    this.#draw(nowMs);
  }

  onRunEnd(): void {
    if (this.#isTerminal()) this.#draw(this.#now());
    this.#linesDrawn = 0;
  }

  #isTerminal(): boolean {
    return this.#output.isTTY === true;
  }

  #draw(nowMs: number): void {
    this.#recent = this.#recent.filter(({ atMs }) => nowMs - atMs <= RECENT_MS);
    const lines = this.#isTerminal() ? this.#terminalLines(nowMs) : [this.#plainLine(nowMs)];
    const up = this.#linesDrawn > 0 ? `\u001b[${this.#linesDrawn}A` : "";
    const clear = this.#isTerminal() ? "\u001b[2K" : "";
    const width = this.#isTerminal() ? columnsOf(this.#output) - 1 : Infinity;
    this.#output.write(up + lines.map((line) => `${clear}${line.slice(0, width)}\n`).join(""));
    this.#linesDrawn = this.#isTerminal() ? lines.length : 0;
  }

  #plainLine(nowMs: number): string {
    return [this.#clock(nowMs), this.#counts(), this.#rates(), this.#latencies()].join("  ");
  }

  #terminalLines(nowMs: number): string[] {
    return [
      `${this.#clock(nowMs)}  ${this.#counts()}`,
      `${this.#rates()}  ${this.#latencies()}`,
      `tokens/s ${sparkline(this.#tokenRates().slice(-MAX_SPARKS))}`,
    ];
  }

  #clock(nowMs: number): string {
    const seconds = (ms: number): string => (ms / 1000).toFixed(0);
    const elapsedMs = nowMs - this.#startMs;
    const totalMs = this.#durationMs;
    if (totalMs === null) return `${this.#runLabel}${seconds(elapsedMs)} s`;
    const drain = elapsedMs <= totalMs ? "" : ` + ${seconds(elapsedMs - totalMs)} s drain`;
    return `${this.#runLabel}${seconds(Math.min(elapsedMs, totalMs))}/${seconds(totalMs)} s${drain}`;
  }

  #counts(): string {
    const { numSent, numInFlight } = this.#progress;
    return `sent ${numSent}  in flight ${numInFlight}  done ${this.#numDone - this.#numFailed}  failed ${this.#numFailed}`;
  }

  #rates(): string {
    const rates = this.#tokenRates().slice(-5);
    const tokenRate = rates.length === 0 ? 0 : rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
    const last = this.#perSecond.slice(-6);
    const done =
      last.length < 2 ? 0 : ((last.at(-1)?.numDone ?? 0) - (last[0]?.numDone ?? 0)) / (last.length - 1);
    return `${formatRate(done)} requests/s  ${formatRate(tokenRate)} tokens/s`;
  }

  #latencies(): string {
    const ttfts = this.#recent.flatMap(({ ttftMs }) => ttftMs ?? []);
    const itls = this.#recent.flatMap(({ itlMs }) => itlMs);
    return `TTFT ${pair(ttfts)}  ITL ${pair(itls)} (p50/p99, last 10 s)`;
  }

  #tokenRates(): number[] {
    return this.#perSecond
      .slice(1)
      .map(({ numTokens }, index) => numTokens - (this.#perSecond[index]?.numTokens ?? 0));
  }
}

/** A terminal that does not know its width says 0. */
function columnsOf({ columns = 0 }: ViewOutput): number {
  return columns > 0 ? columns : 100;
}

function pair(values: number[]): string {
  if (values.length === 0) return "-";
  const sorted = values.sort((a, b) => a - b);
  return `${formatMs(percentileOfSorted(sorted, 50))}/${formatMs(percentileOfSorted(sorted, 99))}`;
}

/** What `--no-live` switches off. */
export function liveView({ live }: { readonly live: boolean }): LiveView {
  return new LiveView(live ? process.stderr : { write: () => true });
}
