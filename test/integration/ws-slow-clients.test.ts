import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, start } from "../support/ws-generations.ts";

test("a client that withholds credits loses its generation", async (t) => {
  const streamBuffer = { softBytes: 256 * 1024, hardBytes: 1024 * 1024, maxPausedMs: 20 };
  const { client, server } = await connect(t, { config: { streamBuffer }, engine: { naturalLength: 100 } });
  client.send(start("a", { max_tokens: 50 }, { credits: 1 }));
  const frames = await client.ended("a");
  assert.equal(frames.at(-1)?.error?.code, "slow_reader");
  assert.equal(server.engine.active.size, 0);
  const { body } = await server.app.inject({ url: "/metrics" });
  assert.match(body, /^headway_slow_clients 0$/m);
  assert.match(body, /^headway_slow_clients_cut_total 1$/m);
});

test("generations without credits are slow clients, each once, until they get some or end", async (t) => {
  const { client, server } = await connect(t, {
    engine: { naturalLength: 1000, stepMs: null, padding: "x".repeat(100_000) },
    config: { streamBuffer: { softBytes: 128 * 1024, hardBytes: 64 * 1024 * 1024, maxPausedMs: 60_000 } },
  });
  const numSlow = async (): Promise<number> => {
    const { body } = await server.app.inject({ url: "/metrics" });
    return Number(/^headway_slow_clients (\d+)$/m.exec(body)?.[1]);
  };
  for (const id of ["a", "b", "c"]) client.send(start(id, { max_tokens: 500 }, { credits: 1 }));
  client.send(start("d", { max_tokens: 500 }));
  await client.until(() => server.engine.active.size === 4);
  server.engine.step();
  assert.equal(await numSlow(), 3);
  client.send({ type: "credit", id: "a", credits: 1 });
  client.send({ type: "cancel", id: "b" });
  await client.until(() => client.of("b").some(({ type }) => type === "cancelled"));
  assert.equal(await numSlow(), 1);
  client.pause();
  const generations = [...server.engine.active];
  await client.until(() => {
    server.engine.step();
    return generations.every(({ isPaused }) => isPaused);
  });
  assert.equal(await numSlow(), 3, "c lacks both credits and room, which counts once");
  client.terminate();
  await client.until(() => server.engine.active.size === 0);
  assert.equal(await numSlow(), 0);
});

test("a generation whose socket fills up while its prompt is tokenized is paused from its start", async (t) => {
  const { client, server } = await connect(t, {
    engine: { naturalLength: 1000, stepMs: null, padding: "x".repeat(100_000) },
    config: { streamBuffer: { softBytes: 128 * 1024, hardBytes: 64 * 1024 * 1024, maxPausedMs: 60_000 } },
  });
  client.send(start("a", { max_tokens: 500 }));
  await client.until(() => server.engine.active.size === 1);
  let open = (): void => {};
  server.text.gate = new Promise((resolve) => (open = resolve));
  client.send(start("b", { max_tokens: 500 }));
  await client.until(() => client.of("b").length === 1);
  client.pause();
  const [first] = server.engine.active;
  await client.until(() => {
    server.engine.step();
    return first?.isPaused === true;
  });
  open();
  await client.until(() => server.engine.active.size === 2);
  assert.ok([...server.engine.active].every(({ isPaused }) => isPaused));
});

test("a socket that does not read pauses its generations, then is dropped", async (t) => {
  const streamBuffer = { softBytes: 128 * 1024, hardBytes: 64 * 1024 * 1024, maxPausedMs: 50 };
  const { client, server } = await connect(t, {
    config: { streamBuffer },
    engine: { stepMs: null, naturalLength: 1000, padding: "x".repeat(100_000) },
  });
  client.send(start("a", { max_tokens: 400 }));
  client.send(start("b", { max_tokens: 400 }));
  await client.until(() => server.engine.active.size === 2);
  client.pause();
  const generations = [...server.engine.active];
  await client.until(() => {
    server.engine.step();
    return generations.every((generation) => generation.isPaused);
  });
  await client.until(() => server.engine.active.size === 0);
  const { body } = await server.app.inject({ url: "/metrics" });
  assert.match(body, /^headway_slow_clients_cut_total 2$/m);
  client.resume();
  assert.equal((await client.closed).code, 1006);
});
