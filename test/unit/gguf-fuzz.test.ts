import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import fc from "fast-check";

import { deriveFacts } from "../../models/gguf/derive-facts.ts";
import { GgufError } from "../../models/gguf/gguf-error.ts";
import type { GgufFacts } from "../../models/gguf/gguf-facts.ts";
import { readModelHeader } from "../../models/gguf/read-model-header.ts";
import { smallGguf } from "../support/gguf-writer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const path = join(temporaryFolder(), "model.gguf");
const sound = smallGguf();
/** Damage to the weights themselves is not for a header's reader to see. */
const headerLength = sound.length - 64 * 4 * 4 - 64 * 4;

function read(): GgufFacts | GgufError {
  try {
    return deriveFacts(readModelHeader(path));
  } catch (error) {
    assert.ok(error instanceof GgufError, String(error));
    return error;
  }
}

test("refuses a file that is cut off at any percent of its length", () => {
  for (let percent = 99; percent >= 0; percent -= 1) {
    writeFileSync(path, sound);
    truncateSync(path, Math.floor((sound.length * percent) / 100));
    assert.ok(read() instanceof GgufError, `${percent} %`);
  }
});

test("answers any damaged header with facts or a refusal", () => {
  const damage = fc.array(fc.tuple(fc.nat(headerLength - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  let numRefused = 0;
  fc.assert(
    fc.property(damage, (flips) => {
      const bytes = Buffer.from(sound);
      for (const [position, flip] of flips) bytes.writeUInt8(bytes.readUInt8(position) ^ flip, position);
      writeFileSync(path, bytes);
      if (read() instanceof GgufError) numRefused += 1;
    }),
    { seed: 20_240_601, numRuns: 800 },
  );
  assert.ok(numRefused > 150, `only ${numRefused} were refused`);
});
