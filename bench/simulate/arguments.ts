import { parseArgs } from "node:util";
import { usableCores } from "../../models/usable-cores.ts";
import { parseSlo, SLO_HELP, type Slo } from "../measure/slo.ts";
import { Machine, type MachineParameters } from "./machine.ts";
import { readMachine } from "./machine-presets.ts";
import { POLICIES, POLICY_HELP, type PolicyName, type PolicyOptions } from "./policy.ts";
import { ROUTINGS, ROUTING_HELP, type RoutingName } from "./fleet/routing.ts";
import { meanLengths, WORKLOADS, type SimWorkloadName, type Workload } from "./workload.ts";

export interface SimulateArguments {
  readonly command: "engine" | "fleet";
  readonly machine: MachineParameters;
  readonly workload: Workload;
  readonly policies: readonly PolicyName[];
  readonly policyOptions: PolicyOptions;
  readonly replicas: readonly number[];
  readonly routings: readonly RoutingName[];
  readonly slo: Slo;
  readonly noise: number;
  /** Policies or fleets that run side by side. */
  readonly numThreads: number;
  readonly jsonPath: string | null;
}

export const HELP = `Plays a workload against simulated engines: the real scheduler and KV cache over a clock that a
model of the machine moves. Nothing is computed; the same options give the same numbers on every machine.

  npm run bench:simulate -- [engine] [options]   one engine, policies side by side
  npm run bench:simulate -- fleet [options]      many engines, routing policies side by side (a coarser model)

Machine
  --machine NAME|FILE.json   cpu-like (default), h100-like, or a file that changes one: {"base": "cpu-like", "maxNumSeqs": 8}
  --noise S                  deviation of the logarithm of call times (0.03)

Workload
  --workload NAME            ${WORKLOADS.join(", ")} (poisson)
  --requests N               at most so many (10000; of a trace: all)
  --load S                   arrivals as a share of what the machine (the largest fleet) can do, estimated (0.7)
  --rate R                   arrivals a second, instead of --load
  --trace FILE               Azure CSV, Mooncake JSONL or own JSONL, .gz too; implies --workload trace
  --scale-length S           multiplies a trace's token counts (1)
  --scale-time S             multiplies a trace's times (1)
  --max-model-len N          cuts prompts at 3/4 and outputs at 1/4 of it (the machine's, at most 32768)
  --seed N                   (1)

Engine
  --policies LIST            (${POLICIES.join(",")})
${describe(POLICY_HELP)}
  --target-itl-ms N          for headway (default: it chooses)
  --fcfs-batch N             tokens a call (2048)
  --fill-budget N            tokens a call (512)

Fleet
  --replicas LIST            numbers of replicas to try, such as 1,2,4 (4)
  --routings LIST            (${ROUTINGS.join(",")})
${describe(ROUTING_HELP)}

Result
  --slo SLO                  ${SLO_HELP}
                             (default: the machine's)
  --json FILE                writes everything measured
  --threads N                policies or fleets that run side by side (one for each core); nothing else depends on it
  --help`;

function describe(help: Readonly<Record<string, string>>): string {
  return Object.entries(help)
    .map(([name, text]) => `      ${name.padEnd(14)} ${text}`)
    .join("\n");
}

const OPTIONS = {
  machine: { type: "string", default: "cpu-like" },
  noise: { type: "string", default: "0.03" },
  workload: { type: "string", default: "poisson" },
  requests: { type: "string" },
  load: { type: "string", default: "0.7" },
  rate: { type: "string" },
  trace: { type: "string" },
  "scale-length": { type: "string", default: "1" },
  "scale-time": { type: "string", default: "1" },
  "max-model-len": { type: "string" },
  seed: { type: "string", default: "1" },
  policies: { type: "string", default: POLICIES.join(",") },
  "target-itl-ms": { type: "string" },
  "fcfs-batch": { type: "string", default: "2048" },
  "fill-budget": { type: "string", default: "512" },
  replicas: { type: "string", default: "4" },
  routings: { type: "string", default: ROUTINGS.join(",") },
  slo: { type: "string" },
  json: { type: "string" },
  threads: { type: "string", default: String(usableCores()) },
  help: { type: "boolean", default: false },
} as const;

/** Null when help is asked for. Throws RangeError or TypeError with a sentence for whoever typed it. */
export function readArguments(args: readonly string[]): SimulateArguments | null {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  if (values.help) return null;
  const [command = "engine", ...rest] = positionals;
  if ((command !== "engine" && command !== "fleet") || rest.length > 0) {
    throw new RangeError(`expected 'engine' or 'fleet', not '${positionals.join(" ")}'`);
  }
  const machine = readMachine(values.machine);
  const replicas = values.replicas.split(",").map((text) => wholeNumber("replicas", text));
  return {
    command,
    machine,
    workload: withRate(readWorkload(values, machine), {
      machine,
      rate: values.rate === undefined ? null : positive("rate", values.rate),
      load: positive("load", values.load) * (command === "fleet" ? Math.max(...replicas) : 1),
    }),
    policies: values.policies.split(",").map((name) => oneOf(POLICIES, name)),
    policyOptions: {
      targetItlMs:
        values["target-itl-ms"] === undefined ? null : positive("target-itl-ms", values["target-itl-ms"]),
      fcfsBatch: wholeNumber("fcfs-batch", values["fcfs-batch"]),
      fillBudget: wholeNumber("fill-budget", values["fill-budget"]),
    },
    replicas,
    routings: values.routings.split(",").map((name) => oneOf(ROUTINGS, name)),
    slo: parseSlo(values.slo ?? machine.slo),
    noise: atLeastZero("noise", values.noise),
    numThreads: wholeNumber("threads", values.threads),
    jsonPath: values.json ?? null,
  };
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>["values"];

/** Longer sequences are possible on a large machine, but few workloads mean them. */
const DEFAULT_MAX_MODEL_LEN = 32_768;

function readWorkload(values: Values, machine: MachineParameters): Workload {
  const name: SimWorkloadName = values.trace === undefined ? oneOf(WORKLOADS, values.workload) : "trace";
  if (name === "trace" && values.trace === undefined) throw new RangeError("a trace needs --trace FILE");
  const trace =
    values.trace === undefined
      ? null
      : {
          path: values.trace,
          scaleLength: positive("scale-length", values["scale-length"]),
          scaleTime: positive("scale-time", values["scale-time"]),
        };
  const maxModelLen =
    values["max-model-len"] === undefined
      ? Math.min(machine.maxModelLen, DEFAULT_MAX_MODEL_LEN)
      : wholeNumber("max-model-len", values["max-model-len"]);
  if (maxModelLen > machine.maxModelLen) {
    throw new RangeError(`--max-model-len: this machine has ${machine.maxModelLen}`);
  }
  const unlimited = name === "trace" ? Infinity : 10_000;
  const numRequests = values.requests === undefined ? unlimited : wholeNumber("requests", values.requests);
  return { name, seed: atLeastZero("seed", values.seed), numRequests, rate: 1, maxModelLen, trace };
}

function withRate(
  workload: Workload,
  { machine, rate, load }: { machine: MachineParameters; rate: number | null; load: number },
): Workload {
  if (workload.trace !== null) return workload;
  return { ...workload, rate: rate ?? load * estimatedCapacity(machine, workload) };
}

/** Requests a second that a full machine could do: prefill at its largest chunk, decode with all rows taken. */
export function estimatedCapacity(parameters: MachineParameters, workload: Workload): number {
  const { newPromptTokens, outputTokens, depth } = meanLengths(workload);
  const { maxNumSeqs, maxNumBatchedTokens } = parameters;
  const machine = new Machine(parameters);
  const prefillMsPerToken =
    machine.prefillMs(maxNumBatchedTokens, maxNumBatchedTokens * depth) / maxNumBatchedTokens;
  const context = newPromptTokens + outputTokens / 2;
  const decodeMsPerToken = machine.decodeMs(maxNumSeqs, context, maxNumSeqs * context) / maxNumSeqs;
  return 1_000 / (newPromptTokens * prefillMsPerToken + outputTokens * decodeMsPerToken);
}

function oneOf<T extends string>(names: readonly T[], name: string): T {
  const found = names.find((each) => each === name);
  if (found === undefined)
    throw new RangeError(`'${name}' is unknown; one of ${names.join(", ")} is expected`);
  return found;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name}: a number above 0 is expected, not '${text}'`);
  return value;
}

function atLeastZero(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0))
    throw new RangeError(`--${name}: a number of at least 0 is expected`);
  return value;
}

function wholeNumber(name: string, text: string): number {
  const value = positive(name, text);
  if (!Number.isInteger(value)) throw new RangeError(`--${name}: a whole number is expected, not '${text}'`);
  return value;
}
