import assert from "node:assert/strict";
import {
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";

import fc from "fast-check";

import { deriveFacts } from "../../models/gguf/derive-facts.ts";
import { GgufError } from "../../models/gguf/gguf-error.ts";
import type { GgufFacts } from "../../models/gguf/gguf-facts.ts";
import { readModelHeader } from "../../models/gguf/read-model-header.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { smallGguf } from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const dir = temporaryFolder();
const SEED = 20_240_601;
/** Of one reading: its window and the longest text there may be. */
const MAX_READ_BYTES = 4 * 2 ** 20;
/** Of the whole process, for the garbage of all readings. */
const MAX_GROWTH_BYTES = 128 * 2 ** 20;

function read(path: string): GgufFacts | GgufError {
  try {
    return deriveFacts(readModelHeader(path));
  } catch (error) {
    assert.ok(error instanceof GgufError, String(error));
    return error;
  }
}

/** A model file that is damaged in place and mended again; its weights are not for a header's reader to see. */
class DamagedFile {
  readonly headerLength: number;
  readonly #path: string;
  readonly #fd: number;
  readonly #sound: Buffer;

  constructor(path: string) {
    this.#path = path;
    this.#sound = readFileSync(path);
    const last = readModelHeader(path).tensors.at(-1);
    assert.ok(last !== undefined);
    this.headerLength = this.#sound.length - last.offset - last.sizeBytes;
    this.#fd = openSync(path, "r+");
  }

  /** What a reader says to the file with `damage` at its places. */
  read(damage: readonly (readonly [position: number, bytes: Buffer])[]): GgufFacts | GgufError {
    for (const [position, bytes] of damage) writeSync(this.#fd, bytes, 0, bytes.length, position);
    const answer = read(this.#path);
    for (const [position, bytes] of damage) {
      writeSync(this.#fd, this.#sound, position, bytes.length, position);
    }
    return answer;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const uint64 = fc
  .constantFrom(0n, 1n, 2n ** 20n, 2n ** 24n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n)
  .map((value) => Buffer.from(BigUint64Array.of(value).buffer));
/** A byte of any value, or a count or length of one that readers stumble over. */
const bytes = fc.oneof(
  fc.nat(255).map((value) => Buffer.of(value)),
  uint64,
);

describe("damaged headers", () => {
  test("a file that is cut off at any percent of its length is refused", () => {
    const path = join(dir, "cut.gguf");
    const sound = smallGguf();
    for (let percent = 99; percent >= 0; percent -= 1) {
      writeFileSync(path, sound);
      truncateSync(path, Math.floor((sound.length * percent) / 100));
      assert.ok(read(path) instanceof GgufError, `${percent} %`);
    }
  });

  const MODELS = ["small.gguf", "headway-demo.gguf", "draft.gguf", "tiny-random.gguf"];
  for (const name of MODELS) {
    test(`${name} is answered with facts or a refusal, and little memory`, () => {
      const path = join(dir, name);
      if (name === "small.gguf") writeFileSync(path, smallGguf());
      else copyFileSync(demoModelPath(name), path);
      const file = new DamagedFile(path);
      after(() => file.close());
      const damage = fc.array(fc.tuple(fc.nat(file.headerLength - 8), bytes), { minLength: 1, maxLength: 4 });
      const peakBefore = process.resourceUsage().maxRSS;
      let numRefused = 0;
      fc.assert(
        fc.property(damage, (places) => {
          const { arrayBuffers } = process.memoryUsage();
          if (file.read(places) instanceof GgufError) numRefused += 1;
          assert.ok(process.memoryUsage().arrayBuffers - arrayBuffers < MAX_READ_BYTES, "asked for too much");
        }),
        { seed: SEED, numRuns: 400 },
      );
      assert.ok(numRefused > 50, `only ${numRefused} were refused`);
      assert.ok(!(file.read([]) instanceof GgufError), "the file is sound without damage");
      const grownBytes = (process.resourceUsage().maxRSS - peakBefore) * 1024;
      assert.ok(grownBytes < MAX_GROWTH_BYTES, `the process grew by ${grownBytes} bytes`);
    });
  }
});
