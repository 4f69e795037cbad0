import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { diagnose } from "../../../src/cli/doctor.ts";
import { formatReport } from "../../../src/cli/doctor-report.ts";
import { loadConfig } from "../../../src/config/load-config.ts";

function configOf(flags: Readonly<Record<string, unknown>>) {
  return loadConfig({ flags: { backend: "cpu", model: "demo", port: 0, ...flags }, environment: {} });
}

test("a machine that can serve has a report without problems", async () => {
  const report = await diagnose(configOf({ threads: 1 }));
  assert.equal(report.ok, true, JSON.stringify(report.checks));
  assert.match(report.versions.headway, /^\d+\.\d+\.\d+$/);
  assert.equal(report.versions.node, process.versions.node);
  assert.match(report.versions.koffi ?? "", /^3\./);
  assert.ok(report.versions.llamaCpp);
  assert.ok(report.machine.numUsableCores >= 1);
  assert.ok(report.machine.numUsableCores <= report.machine.numLogicalCpus);
  assert.ok(report.machine.memory.freeBytes <= report.machine.memory.totalBytes);
  assert.deepEqual(report.choice, {
    backend: "cpu",
    backendReason: "as asked",
    threads: 1,
    threadsReason: "as asked",
    model: "demo",
  });
  assert.deepEqual(
    report.checks.map(({ name, state }) => [name, state]),
    [
      ["backend", "ok"],
      ["model", "ok"],
      ["port", "ok"],
    ],
  );
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});

test("what keeps a start from working is a problem with its reason", async () => {
  const backend = process.platform === "darwin" ? "cuda" : "metal";
  const report = await diagnose(configOf({ model: "no-such-model", backend }));
  assert.equal(report.ok, false);
  const problems = report.checks.filter(({ state }) => state === "problem");
  assert.deepEqual(
    problems.map(({ name }) => name),
    ["backend", "model"],
  );
  assert.match(problems[0]?.detail ?? "", new RegExp(`The ${backend} backend cannot be used`));
  assert.match(problems[1]?.detail ?? "", /no-such-model/);
  const page = formatReport(report);
  assert.match(page, /backend +FAIL/);
  assert.match(page, /model +FAIL/);
});

test("a port in use is noted", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { checks } = await diagnose(configOf({ port }));
  assert.deepEqual(checks.at(-1), {
    name: "port",
    state: "warning",
    detail: `127.0.0.1:${port} is in use; --port chooses another`,
  });
});
