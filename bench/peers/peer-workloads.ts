import { packageFile } from "../../src/cli/package-file.ts";

/** A scenario of the comparison: options of `headway bench`, so that anyone can repeat one by hand. */
export interface PeerWorkload {
  name: string;
  /** What it shows. */
  purpose: string;
  options: string;
  /** Trace to replay, a file of the package. */
  trace?: string;
}

const COMMON = "--api completions --temperature 0 --timeout 300 --drain 120";

const closedLoop = (clients: number, requests: number): PeerWorkload => ({
  name: `closed-loop-${clients}`,
  purpose: `throughput with ${clients} client${clients === 1 ? "" : "s"}, prompts of 128 tokens, 64 out`,
  options: `--concurrency ${clients} --requests ${requests} --input-tokens 128 --output-tokens 64`,
});

/** Sized for a model of about 135M parameters on two CPU cores: each takes one to two minutes. */
export const PEER_WORKLOADS: readonly PeerWorkload[] = [
  closedLoop(1, 12),
  closedLoop(4, 32),
  closedLoop(16, 64),
  {
    name: "long-intruders",
    purpose: "streams beside long prompts: every eighth prompt has 1,200 tokens, 0.8 requests/s",
    options:
      "--workload intruder --rate 0.8 --duration 75 --warmup 5 " +
      "--input-tokens 64 --output-tokens 64 --intruder-every 8 --intruder-tokens 1200",
  },
  {
    name: "shared-prefix",
    purpose: "8 clients whose prompts begin with one of two prefixes of 512 tokens",
    options:
      "--workload shared-prefix --concurrency 8 --requests 48 " +
      "--prefix-tokens 512 --prefixes 2 --input-tokens 32 --output-tokens 32",
  },
  {
    name: "conversations",
    purpose: "4 conversations at a time, four turns each, every turn sends all before it",
    options:
      "--workload multi-turn --turns 4 --concurrency 4 --requests 48 --input-tokens 96 --output-tokens 48",
  },
  {
    name: "mixed-lengths",
    purpose: "log-normal lengths as in chat logs, Poisson 0.7 requests/s",
    options:
      "--workload lognormal --rate 0.7 --duration 75 --warmup 5 " +
      "--max-input-tokens 1000 --max-output-tokens 256 --input-tokens 80~1.0 --output-tokens 50~0.7",
  },
  {
    name: "azure-trace",
    purpose: "recorded arrivals of Azure's conversation trace, lengths x 0.1, times x 4",
    options:
      "--workload trace --duration 75 --warmup 5 " +
      "--scale-length 0.1 --scale-time 4 --max-input-tokens 1000",
    trace: "bench/traces/azure-conv-2000.csv.gz",
  },
  {
    name: "mooncake-trace",
    purpose: "recorded arrivals and shared prefixes of Mooncake's trace, lengths x 0.02, times x 10",
    options:
      "--workload trace --duration 75 --warmup 5 " +
      "--scale-length 0.02 --scale-time 10 --max-input-tokens 1000",
    trace: "bench/traces/mooncake-conversation-1000.jsonl.gz",
  },
];

/** The workload with all numbers of requests and times multiplied: a shorter or longer measurement. */
export function sized(workload: PeerWorkload, factor: number): PeerWorkload {
  const options = workload.options.replaceAll(
    /--(requests|duration|warmup) (\d+)/g,
    (_, name: string, amount: string) => `--${name} ${Math.max(1, Math.round(Number(amount) * factor))}`,
  );
  return { ...workload, options };
}

/** The workload's command line, with what all workloads have in common. */
export function workloadArguments({ options, trace }: PeerWorkload): string[] {
  const words = `${COMMON} ${options}`.split(" ");
  return trace === undefined ? words : [...words, "--file", packageFile(trace)];
}
