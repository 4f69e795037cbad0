import { Command } from "commander";

import type { BenchConfig } from "../bench-config.ts";
import type { BenchOptionValues } from "../bench-options.ts";
import type { RunSummary } from "../measure/run-summary.ts";

import { addBenchOptions } from "../bench-options.ts";
import { above, share, wholeAtLeast } from "../option-numbers.ts";
import { summarizeRun } from "../measure/run-summary.ts";
import { windowOptions, withoutSecrets } from "../report/bench-result.ts";
import { formatMs, formatPercent, formatRate } from "../report/format.ts";
import { liveView } from "../report/live-view.ts";
import { machineFacts } from "../report/machine-facts.ts";
import { writeJson } from "../report/result-file.ts";
import { warningLines } from "../report/warning-lines.ts";
import { calibrationOf, runOnce } from "../run-benchmark.ts";
import { findMaxRate, type MaxRate } from "../search/find-max-rate.ts";
import { EXIT } from "./exit-codes.ts";
import { prepareTarget } from "./prepare-target.ts";

interface SearchOptionValues extends BenchOptionValues {
  attainment: number;
  fromRate: number;
  maxRate: number;
  tolerance: number;
  confirm: number;
  maxTrials: number;
  json?: string;
}

const DEFAULT_TRIAL_SECONDS = 30;
const MIN_TRIAL_REQUESTS = 20;

export function createSearchCommand(): Command {
  const command = new Command("search")
    .description(
      "Finds the highest rate at which the SLO is met (--slo; --duration is the length of a trial, 30 s).",
    )
    .helpOption("-h, --help", "explain the options");
  return addBenchOptions(command)
    .optionsGroup("Search:")
    .option("--attainment <share>", "share of requests that must meet the SLO", share, 0.99)
    .option("--from-rate <r>", "first rate tried", above(0), 1)
    .option("--max-rate <r>", "never try more", above(0), 10_000)
    .option("--tolerance <share>", "how exact the answer is", above(0), 0.05)
    .option("--confirm <n>", "trials with other seeds that the answer must pass", wholeAtLeast(0), 2)
    .option("--max-trials <n>", "give up after this many trials", wholeAtLeast(1), 40)
    .option("--json <file>", "write all trials and the answer");
}

/** `headway bench search`: prints every trial and the highest confirmed rate. */
export async function searchCommand(options: SearchOptionValues): Promise<number> {
  if (options.slo === undefined) throw new RangeError("search needs --slo");
  const { config, server } = await prepareTarget({
    ...options,
    duration: options.duration ?? DEFAULT_TRIAL_SECONDS,
  });
  const calibration = await calibrationOf(config);
  const wanted = options.attainment;
  const summaries: RunSummary[] = [];
  const found = await findMaxRate(async (rate, index) => {
    const trial = trialConfig(config, rate);
    const data = await runOnce(trial, {
      runIndex: index,
      calibration,
      observer: liveView(options),
    });
    const summary = summarizeRun(data, windowOptions(trial), trial.slo);
    summaries.push(summary);
    const passed = (summary.goodput?.attainment ?? 0) >= wanted;
    console.log([trialText(rate, summary, passed), ...warningLines(trial, summary)].join("\n"));
    return passed;
  }, searchLimits(options));
  console.log(answerText(found, wanted));
  if (options.json !== undefined) {
    const trials = found.trials.map((trial, index) => ({ ...trial, summary: summaries[index] }));
    const facts = { server, machine: machineFacts(), config: withoutSecrets(config), attainment: wanted };
    writeJson(options.json, { ...facts, ...found, trials });
  }
  return found.rate > 0 && found.confirmed ? EXIT.ok : EXIT.regression;
}

/** At low rates a trial lasts longer: a verdict needs some requests to rest on. */
function trialConfig(config: BenchConfig, rate: number): BenchConfig {
  const durationMs = Math.max(
    config.load.durationMs ?? 0,
    (MIN_TRIAL_REQUESTS / rate) * 1000 + config.warmupMs,
  );
  return {
    ...config,
    load: { ...config.load, shape: { kind: "steady", rate }, maxRequests: null, durationMs },
    workload: { ...config.workload, useTraceTimes: false },
  };
}

function searchLimits(options: SearchOptionValues) {
  return {
    fromRate: options.fromRate,
    maxRate: options.maxRate,
    tolerance: options.tolerance,
    numConfirmations: options.confirm,
    maxTrials: options.maxTrials,
  };
}

function trialText(rate: number, { goodput, latency }: RunSummary, passed: boolean): string {
  const p99 = (name: "ttft" | "tpot"): string => (latency[name] === null ? "-" : formatMs(latency[name].p99));
  const attainment = formatPercent(goodput?.attainment ?? 0);
  return `${passed ? "met   " : "missed"} ${formatRate(rate).padStart(7)}/s  attainment ${attainment}  TTFT p99 ${p99("ttft")}  TPOT p99 ${p99("tpot")}`;
}

function answerText({ rate, confirmed, trials }: MaxRate, wanted: number): string {
  if (rate === 0)
    return `no rate met the SLO for ${formatPercent(wanted)} of the requests (${trials.length} trials)`;
  const how = confirmed ? "confirmed with other seeds" : "NOT confirmed: the trials ran out";
  return `highest rate with ${formatPercent(wanted)} of the requests within the SLO: ${formatRate(rate)} requests/s, ${how} (${trials.length} trials)`;
}
