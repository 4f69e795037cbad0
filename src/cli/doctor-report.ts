import type { MemoryAmount } from "../../models/memory-probe.ts";
import { formatSize } from "../config/value-types.ts";
import type { BackendProbe } from "./doctor-probe.ts";

export type CheckState = "ok" | "warning" | "problem";

/** One finding. A problem keeps `headway serve` from starting. */
export interface Check {
  readonly name: string;
  readonly state: CheckState;
  readonly detail: string;
}

/** What `headway doctor` found; `--json` prints it as it is. */
export interface DoctorReport {
  /** No check is a problem. */
  readonly ok: boolean;
  readonly versions: {
    readonly headway: string;
    readonly node: string;
    readonly koffi: string | null;
    readonly llamaCpp: string | null;
  };
  readonly machine: {
    readonly platform: string;
    readonly arch: string;
    readonly cpu: string;
    readonly numLogicalCpus: number;
    /** Bounded by affinity and cgroup quota. */
    readonly numUsableCores: number;
    /** Bounded by the cgroup's limit. */
    readonly memory: MemoryAmount;
  };
  readonly backend: BackendProbe;
  /** What a start with the same options would use, and why. */
  readonly choice: {
    readonly backend: string | null;
    readonly backendReason: string;
    readonly threads: number;
    readonly threadsReason: string;
    readonly model: string | null;
  };
  readonly cacheDir: string;
  readonly checks: readonly Check[];
}

const marks: Readonly<Record<CheckState, string>> = { ok: "ok", warning: "note", problem: "FAIL" };

export function formatReport(report: DoctorReport): string {
  const { versions, machine, choice } = report;
  const sections = [
    section("Versions", [
      ["headway", versions.headway],
      ["Node.js", versions.node],
      ["llama.cpp", versions.llamaCpp ?? "not loaded"],
      ["koffi", versions.koffi ?? "not found"],
    ]),
    section("Machine", [
      ["system", `${machine.platform} ${machine.arch}`],
      ["CPU", machine.cpu],
      ["cores", `${machine.numUsableCores} usable of ${machine.numLogicalCpus}`],
      ["memory", describeMemory(machine.memory)],
      ...gpuRows(report.backend),
    ]),
    section("A start would use", [
      ["backend", `${choice.backend ?? "none"}: ${choice.backendReason}`],
      ["threads", `${choice.threads}: ${choice.threadsReason}`],
      ["model", choice.model ?? "none"],
      ["cache", report.cacheDir],
    ]),
    section(
      "Checks",
      report.checks.map(({ name, state, detail }) => [name, `${marks[state].padEnd(4)}  ${detail}`]),
    ),
  ];
  return sections.join("\n\n");
}

function describeMemory({ freeBytes, totalBytes, source }: MemoryAmount): string {
  return `${formatSize(freeBytes)} free of ${formatSize(totalBytes)} (${source})`;
}

function gpuRows(probe: BackendProbe): [string, string][] {
  const gpus = probe.ok ? probe.devices.filter(({ isGpu }) => isGpu) : [];
  if (gpus.length === 0) return [["GPU", "none found"]];
  return gpus.map(({ name, description, freeBytes, totalBytes }) => [
    name,
    `${description}, ${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`,
  ]);
}

function section(title: string, rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return [title, ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join("\n");
}
