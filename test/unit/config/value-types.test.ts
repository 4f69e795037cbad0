import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  choice,
  decimal,
  duration,
  integer,
  list,
  onOff,
  orAuto,
  size,
  text,
} from "../../../src/config/value-types.ts";

test("sizes have binary and decimal units", () => {
  const sizes = size({ minBytes: 0 });
  const expected: Record<string, number> = {
    "0": 0,
    "1000": 1000,
    "512M": 512 * 2 ** 20,
    "4GiB": 4 * 2 ** 30,
    "1.5g": 1.5 * 2 ** 30,
    "2 kb": 2000,
    "1TB": 1e12,
  };
  for (const [raw, bytes] of Object.entries(expected)) assert.equal(sizes.parse(raw), bytes, raw);
  assert.equal(sizes.parse(4096), 4096);
  for (const raw of ["", "-1", "4X", "4 GiB free", "NaN", "1e99", {}]) {
    assert.throws(() => sizes.parse(raw), RangeError, JSON.stringify(raw));
  }
});

test("durations are seconds without a unit", () => {
  const durations = duration({ maxMs: 3_600_000 });
  for (const [raw, ms] of [
    ["30", 30_000],
    ["0", 0],
    ["500ms", 500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    [2.5, 2500],
  ] as const) {
    assert.equal(durations.parse(raw), ms, String(raw));
  }
  for (const raw of ["2h", "-1s", "soon"]) assert.throws(() => durations.parse(raw), RangeError);
});

test("what a size or duration is printed as reads back as the same value", () => {
  const sizes = size({ minBytes: 0 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 0, max: 4 }), (number, power) => {
      const bytes = number * 1024 ** power;
      assert.equal(sizes.parse(sizes.format(bytes)), bytes);
    }),
  );
  const durations = duration({ maxMs: 2 ** 31 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (milliseconds) => {
      assert.equal(durations.parse(durations.format(milliseconds)), milliseconds);
    }),
  );
});

test("numbers must be whole or within range", () => {
  assert.equal(integer({ min: 0, max: 9 }).parse("7"), 7);
  for (const raw of ["7.5", "10", "-1", "", " ", null, true, []]) {
    assert.throws(() => integer({ min: 0, max: 9 }).parse(raw), RangeError);
  }
  assert.equal(decimal({ min: 0, max: 1 }).parse(0.25), 0.25);
  assert.throws(() => decimal({ min: 0, max: 1 }).parse("1.01"), RangeError);
});

test("auto stands for null", () => {
  const threads = orAuto(integer({ min: 1, max: 8 }));
  assert.equal(threads.parse("auto"), null);
  assert.equal(threads.parse(4), 4);
  assert.equal(threads.format(null), "auto");
  assert.throws(() => threads.parse("many"), /^RangeError: auto or a whole number from 1 to 8$/);
});

test("switches, choices and lists", () => {
  for (const raw of [true, "true", "ON", "yes", "1"]) assert.equal(onOff().parse(raw), true);
  for (const raw of [false, "false", "off", "no", "0"]) assert.equal(onOff().parse(raw), false);
  assert.throws(() => onOff().parse("maybe"), RangeError);
  assert.equal(choice("a", "b").parse("b"), "b");
  assert.throws(() => choice("a", "b").parse("c"), /one of a, b/);
  const keys = list(text("key"));
  assert.deepEqual(keys.parse("a, b,,c"), ["a", "b", "c"]);
  assert.deepEqual(keys.parse(["a,b", "c"]), ["a", "b", "c"]);
  assert.throws(() => keys.parse([""].map(() => ({}))), RangeError);
});
