import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { OutputAssembler } from "../../models/text/output-assembler.ts";

/** Cuts bytes at the given places, so that tokens end anywhere, inside characters too. */
function splitBytes(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const edges = [0, ...places, bytes.length];
  return edges.slice(1).map((end, i) => bytes.subarray(edges[i], end));
}

/** What a reader who waits for the end sees: the reference the streamed text must equal. */
function decodeWhole(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true });
}

/** Cuts at the stop string that is complete first, by trying every end. */
function cutAtStop(text: string, stopStrings: readonly string[]): { text: string; stopped: string | null } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stopStrings.filter((stop) => text.slice(0, end).endsWith(stop));
    if (matches.length === 0) continue;
    const stopped = matches.reduce((a, b) => (b.length > a.length ? b : a));
    return { text: text.slice(0, end - stopped.length), stopped };
  }
  return { text, stopped: null };
}

const unit = fc.constantFrom("a", "b", "ab", "é", "e\u0301", "漢", "字", "😀", "👩‍🚀", "\n", "<|", "\uFEFF");
const text = fc.array(unit, { maxLength: 12 }).map((units) => units.join(""));
const noise = fc.uint8Array({ maxLength: 6 });
const bytes = fc
  .array(
    fc.oneof(
      text.map((value) => new TextEncoder().encode(value)),
      noise,
    ),
    { maxLength: 6 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)));
const stopStrings = fc.array(
  fc.array(unit, { minLength: 1, maxLength: 4 }).map((units) => units.join("")),
  { maxLength: 16 },
);

function assemble(tokens: readonly Uint8Array[], stops: readonly string[], includeStopString = false) {
  const assembler = new OutputAssembler({
    pieces: tokens,
    stripLeadingSpace: false,
    stopStrings: stops,
    includeStopString,
  });
  const deltas: string[] = [];
  let stopped: string | null = null;
  for (const tokenId of tokens.keys()) {
    const output = assembler.push(tokenId);
    deltas.push(output.text);
    stopped ??= output.stopped;
  }
  if (stopped === null) deltas.push(assembler.finish());
  return { deltas, stopped };
}

describe("OutputAssembler", () => {
  it("streams exactly the whole text, cut at the first stop string, however tokens are split", () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), stopStrings, (content, cuts, stops) => {
        const { deltas, stopped } = assemble(splitBytes(content, cuts), stops);
        assert.deepEqual({ text: deltas.join(""), stopped }, cutAtStop(decodeWhole(content), stops));
      }),
      { numRuns: 2000, seed: 1 },
    );
  });

  it("never gives out half a character, nor any part of the stop string it ends with", () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), stopStrings, (content, cuts, stops) => {
        const { deltas } = assemble(splitBytes(content, cuts), stops);
        const expected = cutAtStop(decodeWhole(content), stops).text;
        let sent = "";
        for (const delta of deltas) {
          assert.equal(/[\uD800-\uDBFF]$|^[\uDC00-\uDFFF]/.test(delta), false);
          sent += delta;
          assert.ok(expected.startsWith(sent));
        }
      }),
      { numRuns: 1000, seed: 1 },
    );
  });

  it("appends the stop string itself when asked to", () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), stopStrings, (content, cuts, stops) => {
        const { deltas } = assemble(splitBytes(content, cuts), stops, true);
        const { text: before, stopped } = cutAtStop(decodeWhole(content), stops);
        assert.equal(deltas.join(""), before + (stopped ?? ""));
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it("reads each character once, however long a possible stop string is", () => {
    const stop = `${"a".repeat(20_000)}b`;
    const piece = new TextEncoder().encode("a".repeat(100));
    const assembler = new OutputAssembler({
      pieces: [piece],
      stripLeadingSpace: false,
      stopStrings: [stop],
      includeStopString: false,
    });
    let numReleased = 0;
    for (let i = 0; i < 2000; i++) numReleased += assembler.push(0).text.length;
    assert.equal(numReleased, 200_000 - 20_000);
  });
});
