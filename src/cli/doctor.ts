import { fork } from "node:child_process";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { probeRam } from "../../models/memory-probe.ts";
import { headwayCacheDir } from "../../models/store/cache-dirs.ts";
import { defaultCatalogueEntry } from "../../models/store/catalogue.ts";
import { ModelStoreError } from "../../models/store/model-store-error.ts";
import { SILENT_PROGRESS } from "../../models/store/progress.ts";
import { resolveModel } from "../../models/store/resolve.ts";
import { usableCores } from "../../models/usable-cores.ts";
import type { Config } from "../config/options.ts";
import type { BackendProbe } from "./doctor-probe.ts";
import type { Check, DoctorReport } from "./doctor-report.ts";
import { dependencyVersion, headwayVersion } from "./package-file.ts";
import { probePort } from "./probe-port.ts";

const probeTimeoutMs = 30_000;

/** Looks at the machine as a start with this configuration would. Loads native code in a child process only. */
export async function diagnose(config: Config): Promise<DoctorReport> {
  const numUsableCores = usableCores();
  const cacheDir = config.cacheDir ?? headwayCacheDir(process.env);
  const [backend, model, port] = await Promise.all([
    probeBackend(config.backend),
    checkModel(config, cacheDir),
    checkPort(config),
  ]);
  const checks = [checkBackend(backend), model.check, port];
  return {
    ok: checks.every(({ state }) => state !== "problem"),
    versions: {
      headway: headwayVersion(),
      node: process.versions.node,
      koffi: dependencyVersion("koffi"),
      llamaCpp: backend.ok ? backend.version : null,
    },
    machine: {
      platform: process.platform,
      arch: process.arch,
      cpu: os.cpus()[0]?.model.trim() ?? "unknown",
      numLogicalCpus: os.cpus().length,
      numUsableCores,
      memory: probeRam(),
    },
    backend,
    choice: {
      ...explainBackend(backend, config),
      ...explainThreads(numUsableCores, config),
      model: model.name,
    },
    cacheDir,
    checks,
  };
}

function explainBackend(probe: BackendProbe, config: Config) {
  if (!probe.ok) return { backend: null, backendReason: probe.reason };
  const others = probe.notes.length > 0 ? ` (${probe.notes.join("; ")})` : "";
  const reason = config.backend === "auto" ? `the best that works here${others}` : "as asked";
  return { backend: probe.backend, backendReason: reason };
}

function explainThreads(numUsableCores: number, config: Config) {
  if (config.threads !== null) return { threads: config.threads, threadsReason: "as asked" };
  return { threads: numUsableCores, threadsReason: "one for each usable core" };
}

function checkBackend(probe: BackendProbe): Check {
  const name = "backend";
  if (!probe.ok) return { name, state: "problem", detail: probe.reason };
  return { name, state: "ok", detail: `${probe.packageName} works` };
}

async function checkModel(config: Config, cacheDir: string): Promise<{ name: string | null; check: Check }> {
  const name = "model";
  try {
    const signal = AbortSignal.timeout(probeTimeoutMs);
    const model = await resolveModel(config.model, {
      offline: true,
      cacheDir,
      progress: SILENT_PROGRESS,
      signal,
    });
    if (model.fallbackReason === null) {
      return { name: model.name, check: { name, state: "ok", detail: `${model.name} is at ${model.path}` } };
    }
    if (config.offline)
      return { name: model.name, check: { name, state: "warning", detail: model.fallbackReason } };
    const wanted = defaultCatalogueEntry().name;
    const detail = `${wanted} is not on this machine yet: a start fetches it, or serves the demo where it cannot`;
    return { name: wanted, check: { name, state: "warning", detail } };
  } catch (error) {
    if (!(error instanceof ModelStoreError)) throw error;
    if (error.code !== "offline" || config.offline) {
      return { name: null, check: { name, state: "problem", detail: error.message } };
    }
    return { name: config.model, check: { name, state: "warning", detail: "a start has to fetch it first" } };
  }
}

async function checkPort({ host, port }: Config): Promise<Check> {
  const name = "port";
  const address = `${host}:${port}`;
  const error = await probePort({ host, port });
  if (error === null) return { name, state: "ok", detail: `${address} is free` };
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") {
    return { name, state: "problem", detail: `${address}: ${error.message}` };
  }
  // Often it is Headway itself that runs there.
  return { name, state: "warning", detail: `${address} is in use; --port chooses another` };
}

function probeBackend(backend: Config["backend"]): Promise<BackendProbe> {
  const entry = fileURLToPath(new URL("doctor-probe.js", import.meta.url));
  const child = fork(entry, [backend], {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    timeout: probeTimeoutMs,
  });
  return new Promise((resolve) => {
    let result: BackendProbe | undefined;
    child.once("message", (message) => (result = message as BackendProbe));
    child.once("error", (error) => (result = { ok: false, reason: error.message }));
    child.once("close", (code, signal) => {
      resolve(
        result ?? {
          ok: false,
          reason: `the native library ended its process (${signal ?? `exit code ${code}`})`,
        },
      );
    });
  });
}
