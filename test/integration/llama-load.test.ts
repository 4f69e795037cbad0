import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadLibrary } from "../../models/llama/library.ts";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { ModelLoadError } from "../../models/llama/model-load-error.ts";
import { Model } from "../../models/llama/model.ts";
import { usableCores } from "../../models/usable-cores.ts";
import { demoModelPath, testRunnerOptions } from "../support/demo-model.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
const good = readFileSync(demoModelPath("tiny-random.gguf"));
const library = loadLibrary({ backend: "cpu", logger: () => undefined });

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The message, which must be one sentence and tell nothing of the library's sources. */
function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof ModelLoadError, String(error));
    assert.match(error.message, /^[^\n]+\.$/);
    assert.doesNotMatch(error.message, /llama-\w+\.cpp|llama_\w+|gguf_\w+/);
    return error.message;
  }
  return assert.fail("a broken model was loaded");
}

const refuse = (path: string): string => refusal(() => loadRunner(testRunnerOptions(path)));
/** Past the GGUF reader, straight into libllama. */
const refuseByLibrary = (path: string): string =>
  refusal(() => Model.load(library, { path, vocabularyOnly: false, onGpu: false }));

/** Same length, so that every offset stays right. */
function replaceOnce(from: string, to: string): Buffer {
  assert.equal(from.length, to.length);
  const bytes = Buffer.from(good);
  const place = bytes.indexOf(from);
  assert.notEqual(place, -1);
  bytes.write(to, place);
  return bytes;
}

test("a missing file, a folder and an empty file are told apart", () => {
  assert.match(refuseByLibrary(join(folder, "none.gguf")), /There is no model file/);
  assert.match(refuseByLibrary(folder), /is a folder/);
  assert.match(refuseByLibrary(file("empty.gguf", new Uint8Array())), /is empty/);
  assert.match(refuse(join(folder, "none.gguf")), /none\.gguf/);
});

test("a file cut off anywhere is refused, by our reader and by the library", () => {
  const lengths = [3, 20, 1000, 30_000, Math.floor(good.length / 2), good.length - 40_000];
  for (const length of lengths) {
    const path = file(`cut-${length}.gguf`, good.subarray(0, length));
    assert.match(refuse(path), /cut-/);
    assert.match(refuseByLibrary(path), /cut-/);
  }
});

test("garbage is no GGUF file", () => {
  const path = file("garbage.gguf", Buffer.from("This is no model. ".repeat(500)));
  assert.match(refuse(path), /GGUF/);
  assert.match(refuseByLibrary(path), /is not a GGUF file/);
});

test("an architecture the library does not know is named", () => {
  const key = good.indexOf("general.architecture");
  const name = good.indexOf("llama", key);
  const bytes = Buffer.from(good);
  bytes.write("lemur", name);
  const path = file("lemur.gguf", bytes);
  assert.match(refuseByLibrary(path), /architecture "lemur", which this build of llama\.cpp does not know/);
  assert.match(refuse(path), /lemur/);
});

test("texts of a file cannot drive the terminal through what the library says", () => {
  const message = refuseByLibrary(file("escape.gguf", replaceOnce("smollm", "\u001b[2J\r\n")));
  assert.match(message, /pre-tokenizer/);
  assert.doesNotMatch(message, /\p{Cc}/u);
});

test("a missing tensor is named", () => {
  const path = file("no-norm.gguf", replaceOnce("output_norm.weight", "output_lost.weight"));
  assert.match(refuseByLibrary(path), /output_norm\.weight/);
  assert.match(refuse(path), /output_norm\.weight/);
});

test("more than the memory is refused with what would fit, before the pool is taken", () => {
  const options = { ...testRunnerOptions(demoModelPath("tiny-random.gguf")), maxModelLen: 512 };
  assert.throws(() => loadRunner({ ...options, kvMemoryBytes: 1 }), { name: "MemoryPlanError" });
});

test("progress runs from 0 to 1 and the model says what it is", () => {
  const seen: number[] = [];
  const { runner, plan } = loadRunner({
    ...testRunnerOptions(demoModelPath("tiny-random.gguf")),
    onProgress: (progress) => seen.push(progress),
  });
  assert.ok(seen.every((progress, index) => index === 0 || progress > seen[index - 1]!));
  assert.equal(seen.at(-1), 1);
  const { info } = runner;
  assert.equal(info.architecture, "llama");
  assert.equal(info.backend, "cpu");
  assert.equal(info.numThreads, 1);
  assert.deepEqual(info.capabilities, {
    canTrim: true,
    canShare: true,
    hasSlidingWindow: false,
    isRecurrent: false,
    isCausal: true,
  });
  assert.equal(info.kvPool.numBlocks * info.kvPool.blockSize * info.kvPool.bytesPerToken, plan.kvBytes);
  assert.ok(info.eogTokenIds.length > 0);
  runner.close();
});

test("more threads than cores are not started, and the operator is told", () => {
  const options = { ...testRunnerOptions(demoModelPath("tiny-random.gguf")), numThreads: usableCores() + 1 };
  const { runner, notes } = loadRunner(options);
  assert.equal(runner.info.numThreads, usableCores());
  assert.match(
    notes.at(-1)!,
    new RegExp(`--threads ${usableCores() + 1}: there are cores for ${usableCores()},`),
  );
  runner.close();
});

test("requests longer than what the model was trained on are served, and the operator is told", () => {
  const options = testRunnerOptions(demoModelPath("tiny-random.gguf"));
  const { runner: trained, notes } = loadRunner(options);
  const { trainedContextLength } = trained.info;
  trained.close();
  assert.doesNotMatch(notes.join("\n"), /trained/);
  const maxModelLen = trainedContextLength + 1;
  const { runner, notes: doubts } = loadRunner({ ...options, maxModelLen });
  assert.equal(runner.info.maxModelLen, maxModelLen);
  assert.match(
    doubts.at(-1)!,
    new RegExp(`--max-model-len ${maxModelLen}: .*${trainedContextLength} tokens`),
  );
  runner.close();
});
