import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";
import { createTestServer, listen } from "../support/test-server.ts";
import { openWebSocket } from "../support/ws-client.ts";

/** The repository's root, from the compiled test's place in it. */
const root = new URL("../../../", import.meta.url);

async function schemasOfDocument(): Promise<ValidateFunction[]> {
  const document = await readFile(new URL("docs/websocket.md", root), "utf8");
  const blocks = [...document.matchAll(/```json\n([^]*?)```/g)];
  const ajv = new Ajv2020({ strictTypes: false });
  return blocks.map((block) => ajv.compile(JSON.parse(block[1] ?? "") as object));
}

test("the example runs", async (t) => {
  const server = await createTestServer(t, { engine: { naturalLength: 20, stepMs: 1 } });
  const url = `${(await listen(server)).replace("http", "ws")}/v1/ws`;
  const example = fileURLToPath(new URL("examples/websocket.mjs", root));
  const { stdout } = await promisify(execFile)(process.execPath, [example, url], { timeout: 20_000 });
  assert.match(stdout, /\[sea\] 20 tokens/);
  assert.match(stdout, /\[sky\] done/);
  assert.match(stdout, /\[long\] cancelled/);
  assert.equal(server.engine.active.size, 0);
});

test("frames match the schemas of the document", async (t) => {
  const [isClientFrame, isServerFrame] = await schemasOfDocument();
  assert.ok(isClientFrame !== undefined && isServerFrame !== undefined);
  const server = await createTestServer(t);
  const client = await openWebSocket(await listen(server));
  t.after(() => client.terminate());
  const body = { prompt: "a" };
  const sent = [
    { type: "start", id: "a", endpoint: "completions", body },
    { type: "start", id: "b", endpoint: "completions", body: { prompt: "" } },
    { type: "start", id: "c", endpoint: "completions", body, credits: 1 },
    { type: "credit", id: "c", credits: 1 },
    { type: "cancel", id: "c" },
    { type: "ping" },
  ];
  for (const frame of sent) {
    assert.ok(isClientFrame(frame), JSON.stringify(frame));
    client.send(frame);
  }
  for (const frame of [{}, { type: "start", id: "" }, { type: "cancel" }, { type: "nonsense" }]) {
    assert.ok(!isClientFrame(frame), JSON.stringify(frame));
  }
  await client.ended("a");
  await client.ended("b");
  await client.until(() => client.of("c").some(({ type }) => type === "cancelled"));
  const heard = new Set(client.frames.map(({ type }) => type));
  for (const type of ["accepted", "chunk", "usage", "done", "cancelled", "error", "pong"])
    assert.ok(heard.has(type), type);
  for (const frame of client.frames) assert.ok(isServerFrame(frame), JSON.stringify(frame));
});
