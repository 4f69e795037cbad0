import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { MemoryPlanOptions } from "../../models/memory-plan.ts";
import { MemoryPlanError, formatMemoryPlan, planMemory } from "../../models/memory-plan.ts";
import { cgroupAmount, parseMeminfo } from "../../models/memory-probe.ts";
import { groupFolders } from "../../models/cgroup.ts";
import { parseCpuMax } from "../../models/usable-cores.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** SmolLM2-135M: 30 layers, 3 key-value heads of 64. */
const shape = {
  contextLength: 8192,
  embeddingLength: 576,
  feedForwardLength: 1536,
  keyLength: 64,
  valueLength: 64,
  numHeads: 9,
  numKvHeadsPerLayer: Array.from({ length: 30 }, () => 3),
  usesLatentAttention: false,
  vocabSize: 49_152,
};

function planOptions(overrides: Partial<MemoryPlanOptions> = {}): MemoryPlanOptions {
  return {
    isGpu: false,
    kvLayout: "paged",
    shape,
    weightsBytes: 92 * MIB,
    memory: { freeBytes: 16 * GIB, totalBytes: 24 * GIB, source: "RAM" },
    flashAttention: true,
    maxNumBatchedTokens: 512,
    cacheTypeK: "f16",
    cacheTypeV: "f16",
    kvMemoryBytes: null,
    gpuMemoryUtilization: 0.9,
    maxModelLen: null,
    maxNumSeqs: null,
    ...overrides,
  };
}

test("on CPU the pool holds a typical request for each row, not all of the RAM", () => {
  const plan = planMemory(planOptions());
  assert.equal(plan.bytesPerToken, 23_040);
  assert.equal(plan.maxNumSeqs, 16);
  assert.equal(plan.numBlocks * plan.blockSize, 16 * 2048);
  assert.equal(plan.maxModelLen, 8192);
});

test("with little RAM the pool is a quarter of what is free, and requests are as long as it", () => {
  const plan = planMemory(
    planOptions({ memory: { freeBytes: 600 * MIB, totalBytes: GIB, source: "cgroup limit" } }),
  );
  const numTokens = plan.numBlocks * plan.blockSize;
  assert.ok(plan.kvBytes <= 150 * MIB && plan.kvBytes > 100 * MIB);
  assert.equal(plan.maxModelLen, numTokens);
  assert.match(plan.reason, /cgroup limit/);
});

test("a pool that is asked for leaves a part of the RAM alone", () => {
  const memory = { freeBytes: 4 * GIB, totalBytes: 8 * GIB, source: "RAM" };
  const plan = planMemory(planOptions({ memory, kvMemoryBytes: 900 * GIB }));
  assert.ok(plan.kvBytes + plan.computeBytes <= 3.7 * GIB && plan.kvBytes > 3 * GIB);
  assert.match(plan.reason, /less than asked/);
  assert.equal(
    planMemory(planOptions({ memory, kvMemoryBytes: 2 * GIB })).kvBytes,
    2 * GIB - ((2 * GIB) % (256 * 23_040)),
  );
});

test("on a GPU the pool takes the allowed share, less what must stay free", () => {
  const memory = { freeBytes: 70 * GIB, totalBytes: 80 * GIB, source: "H100" };
  const big = { ...shape, numKvHeadsPerLayer: Array.from({ length: 32 }, () => 8), contextLength: 131_072 };
  const plan = planMemory(planOptions({ isGpu: true, memory, shape: big }));
  assert.ok(plan.kvBytes + plan.computeBytes > 61 * GIB && plan.kvBytes + plan.computeBytes < 62 * GIB);
  assert.match(plan.reason, /90 % of the GPU/);
});

test("on a GPU with room for more, every row can have the longest request", () => {
  const memory = { freeBytes: 70 * GIB, totalBytes: 80 * GIB, source: "H100" };
  const plan = planMemory(planOptions({ isGpu: true, memory }));
  assert.equal(plan.maxNumSeqs, 64);
  assert.equal(plan.numBlocks * plan.blockSize, 64 * 8192);
});

test("--kv-memory is obeyed to the block; quantized caches hold more", () => {
  const f16 = planMemory(planOptions({ kvMemoryBytes: 64 * MIB }));
  assert.equal(f16.numBlocks * f16.blockSize, Math.floor((64 * MIB) / 23_040 / 256) * 256);
  const q8 = planMemory(planOptions({ kvMemoryBytes: 64 * MIB, cacheTypeK: "q8_0", cacheTypeV: "q8_0" }));
  assert.ok(q8.numBlocks > 1.8 * f16.numBlocks);
});

test("a plan that cannot hold one request is refused with what would fit", () => {
  const tooLong = planOptions({ kvMemoryBytes: 64 * MIB, maxModelLen: 8192 });
  assert.throws(() => planMemory(tooLong), {
    name: "MemoryPlanError",
    message: /--kv-memory allows 64.0 MiB.*--kv-memory 180MiB or --max-model-len 2816 would fit/,
  });
  const tooSmall = planOptions({ kvMemoryBytes: MIB });
  assert.throws(() => planMemory(tooSmall), {
    name: "MemoryPlanError",
    message: /--kv-memory 6MiB would fit\.$/,
  });
  const memory = { freeBytes: MIB, totalBytes: GIB, source: "RAM" };
  assert.throws(() => planMemory(planOptions({ memory })), {
    name: "MemoryPlanError",
    message: /1.0 MiB free.*not even 256 tokens fit/,
  });
});

test("a plan never promises what the memory does not have", () => {
  const anyOptions = fc.record({
    freeBytes: fc.integer({ min: 0, max: 100 * GIB }),
    kvMemoryBytes: fc.option(fc.integer({ min: 0, max: 200 * GIB })),
    maxModelLen: fc.option(fc.integer({ min: 1, max: 200_000 })),
    maxNumSeqs: fc.option(fc.integer({ min: 1, max: 256 })),
    isGpu: fc.boolean(),
  });
  fc.assert(
    fc.property(anyOptions, ({ freeBytes, ...rest }) => {
      const memory = { freeBytes, totalBytes: 100 * GIB, source: "memory" };
      try {
        const plan = planMemory(planOptions({ ...rest, memory }));
        const numTokens = plan.numBlocks * plan.blockSize;
        assert.ok(Number.isInteger(plan.numBlocks) && plan.numBlocks > 0);
        assert.equal(numTokens % 256, 0);
        assert.ok(plan.kvBytes + plan.computeBytes <= freeBytes);
        assert.ok(plan.maxModelLen >= 1 && plan.maxModelLen <= numTokens);
      } catch (error) {
        assert.ok(error instanceof MemoryPlanError, String(error));
      }
    }),
  );
});

test("the table names blocks, tokens and bytes", () => {
  const table = formatMemoryPlan(planMemory(planOptions()));
  assert.match(table, /KV pool +720 MiB = 2048 blocks = 32768 tokens/);
  assert.match(table, /longest request +8192 tokens/);
});

test("streams are slices for all rows, each as long as the longest request", () => {
  const plan = planMemory(planOptions({ kvLayout: "streams" }));
  assert.deepEqual([plan.numStreams, plan.maxNumSeqs, plan.maxModelLen], [16, 16, 8192]);
  const long = planMemory(planOptions({ kvLayout: "streams", maxModelLen: 5000, maxNumSeqs: 4 }));
  assert.deepEqual([long.numStreams, long.maxModelLen], [4, 5000]);
  assert.equal(long.numBlocks * long.blockSize, 4 * 5120);
});

test("a request may be as long in a slice as with one pool, as far as a quarter of the free RAM holds that for every row", () => {
  const anyOptions = fc.record({
    freeBytes: fc.integer({ min: 4 * GIB, max: 100 * GIB }),
    maxNumSeqs: fc.integer({ min: 1, max: 64 }),
    contextLength: fc.option(fc.integer({ min: 256, max: 131_072 })),
    streamMultiple: fc.constantFrom(1, 4),
  });
  fc.assert(
    fc.property(anyOptions, ({ freeBytes, maxNumSeqs, contextLength, streamMultiple }) => {
      const memory = { freeBytes, totalBytes: 100 * GIB, source: "RAM" };
      const options = planOptions({ memory, maxNumSeqs, shape: { ...shape, contextLength } });
      const paged = planMemory(options);
      const streams = planMemory({ ...options, kvLayout: "streams", streamMultiple });
      const isCutShort = streams.reason.startsWith("a quarter");
      assert.ok(isCutShort || streams.maxModelLen >= paged.maxModelLen);
      assert.ok(streams.kvBytes <= freeBytes / 4);
      assert.equal(streams.maxNumSeqs, maxNumSeqs);
    }),
  );
});

test("streams are fewer where the memory is small, and a slice that is too short is refused", () => {
  const small = planOptions({ kvLayout: "streams", kvMemoryBytes: 64 * MIB, maxModelLen: 1024 });
  const plan = planMemory(small);
  assert.deepEqual([plan.numStreams, plan.maxNumSeqs], [2, 2]);
  const refused = { ...small, maxModelLen: 4096 };
  assert.throws(() => planMemory(refused), { name: "MemoryPlanError", message: /--max-model-len 2816/ });
});

test("the number of streams is a multiple where that is asked for, whatever the number of rows", () => {
  const plan = planMemory(planOptions({ kvLayout: "streams", streamMultiple: 4, maxNumSeqs: 5 }));
  assert.deepEqual([plan.numStreams, plan.maxNumSeqs], [8, 5]);
});

test("a cgroup's limit counts, with its reclaimable pages as free; no limit is none", () => {
  const amount = cgroupAmount("1073741824", "805306368", "anon 1\ninactive_file 268435456\n");
  assert.deepEqual(amount, { freeBytes: 512 * MIB, totalBytes: GIB, source: "cgroup limit" });
  const stat = "inactive_file 1\ntotal_inactive_file 20\n";
  assert.equal(cgroupAmount("100", "50", stat)?.freeBytes, 70, "version 1 tells both");
  assert.equal(cgroupAmount("max", "1", ""), null);
  assert.equal(cgroupAmount(null, "1", ""), null);
  assert.equal(cgroupAmount("9223372036854771712", "1", ""), null, "version 1's way to say no limit");
  assert.equal(cgroupAmount("100", "200", "")?.freeBytes, 0);
});

test("MemAvailable is read in bytes", () => {
  assert.equal(
    parseMeminfo("MemTotal: 100 kB\nMemAvailable:   22693928 kB\n", "MemAvailable"),
    22_693_928 * 1024,
  );
  assert.equal(parseMeminfo("MemTotal: 100 kB\n", "MemAvailable"), null);
});

test("a CPU quota is cores", () => {
  assert.equal(parseCpuMax("150000 100000"), 1.5);
  assert.equal(parseCpuMax("max 100000"), null);
  assert.equal(parseCpuMax("-1 100000"), null);
});

test("limits count of the process's own control group and of all above it", () => {
  const unified = groupFolders("0::/system.slice/headway.service\n", "memory");
  assert.deepEqual(unified, {
    version: 2,
    folders: [
      "/sys/fs/cgroup/system.slice/headway.service",
      "/sys/fs/cgroup/system.slice",
      "/sys/fs/cgroup/",
    ],
  });
  const legacy = groupFolders("9:name=systemd:/\n4:memory:/a\n2:cpu,cpuacct:/b/c\n0::/\n", "cpu");
  assert.deepEqual(legacy, {
    version: 1,
    folders: ["/sys/fs/cgroup/cpu/b/c", "/sys/fs/cgroup/cpu/b", "/sys/fs/cgroup/cpu/"],
  });
  assert.deepEqual(groupFolders("", "cpu"), { version: 2, folders: ["/sys/fs/cgroup/"] });
});
