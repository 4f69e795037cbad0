import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import type { ModelStoreErrorCode } from "../../models/store/model-store-error.ts";
import { sha256Of, startFakeHub } from "../support/fake-hub.ts";
import { sendFile, startServer } from "../support/file-server.ts";
import { llamaKeys, smallGguf, u16 } from "../support/gguf-writer.ts";
import { ModelMachine } from "../support/model-machine.ts";

const content = smallGguf();
const other = smallGguf({ keys: llamaKeys({ "general.version": u16(2) }) });

describe("models from the hub", () => {
  const files = {
    "model-Q8_0.gguf": other,
    "model-Q4_K_M.gguf": content,
    "mmproj-F16.gguf": other,
    "big/model-F16-00001-of-00002.gguf": content,
    "big/model-F16-00002-of-00002.gguf": other,
    "README.md": Buffer.from("hello"),
  };

  test("takes the usual quantization, the one asked for, or the file asked for", async () => {
    const hub = await startFakeHub(files);
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url });
    assert.equal((await machine.resolve("hf:owner/model")).name, "model-Q4_K_M");
    assert.equal((await machine.resolve("hf:owner/model:q8_0")).name, "model-Q8_0");
    const model = await machine.resolve("hf:owner/model:model-Q4_K_M.gguf");
    assert.deepEqual(readFileSync(model.path), content);
    assert.equal(hub.storage.requests.length, 2, "each file is fetched once");
  });

  test("fetches all parts of a split model", async () => {
    const hub = await startFakeHub(files);
    const model = await new ModelMachine({ MODEL_ENDPOINT: hub.url }).resolve("hf:owner/model:F16");
    assert.equal(model.name, "model-F16");
    assert.deepEqual(
      model.files.map((file) => readFileSync(file)),
      [content, other],
    );
    assert.match(model.path, /model-F16-00001-of-00002\.gguf$/);
  });

  test("fetches only the parts of a split model that an interrupted run has not finished", async () => {
    const hub = await startFakeHub(files);
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url });
    const model = await machine.resolve("hf:owner/model:F16");
    const [first, second] = model.files as [string, string];
    rmSync(join(first, "../headway-model.json"));
    rmSync(second);
    assert.deepEqual(await machine.resolve("hf:owner/model:F16"), model);
    assert.deepEqual(
      hub.storage.requests.map(({ url }) => url?.at(-"-of-00002.gguf".length - 1)),
      ["1", "2", "2"],
    );
  });

  test("wants room for all parts of a split model before it fetches the first", async () => {
    const sizes = { "m-00001-of-00002.gguf": 1000, "m-00002-of-00002.gguf": 2 ** 52 };
    const hub = await startServer((_, response) => {
      const listing = Object.entries(sizes).map(([path, size]) => ({ type: "file", path, size, oid: "0" }));
      response.setHeader("content-type", "application/json").end(JSON.stringify(listing));
    });
    await assert.rejects(new ModelMachine({ HF_ENDPOINT: hub.url }).resolve("hf:owner/model"), {
      code: "disk-full",
    });
    assert.ok(hub.requests.every(({ url }) => url?.startsWith("/api/")));
  });

  test("needs no network the second time", async () => {
    const hub = await startFakeHub(files);
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url });
    const first = await machine.resolve("hf:owner/model");
    const numRequests = hub.requests.length;
    const second = await machine.resolve("hf:owner/model", { offline: true });
    assert.deepEqual(second, first);
    assert.equal(hub.requests.length, numRequests);
  });

  test("sends the token to the hub and to nobody else", async () => {
    const hub = await startFakeHub(files, "hf_secret");
    await new ModelMachine({ HF_ENDPOINT: hub.url, HF_TOKEN: "hf_secret" }).resolve("hf:owner/model");
    assert.ok(hub.requests.every(({ headers }) => headers.authorization === "Bearer hf_secret"));
    assert.ok(hub.storage.requests.every(({ headers }) => headers.authorization === undefined));
  });

  test("finds the token that a login has left", async () => {
    const hub = await startFakeHub(files, "hf_stored");
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url });
    mkdirSync(join(machine.home, "hf"));
    writeFileSync(join(machine.home, "hf", "token"), "hf_stored\n");
    assert.equal((await machine.resolve("hf:owner/model")).name, "model-Q4_K_M");
  });

  test("uses what another program has downloaded", async () => {
    const machine = new ModelMachine();
    const repo = join(machine.home, "hf/hub/models--owner--model");
    mkdirSync(join(repo, "snapshots/abc"), { recursive: true });
    mkdirSync(join(repo, "blobs"));
    writeFileSync(join(repo, "blobs/1"), content);
    symlinkSync("../../blobs/1", join(repo, "snapshots/abc/model-Q4_K_M.gguf"));
    symlinkSync("../../blobs/gone", join(repo, "snapshots/abc/model-Q8_0.gguf"));
    const model = await machine.resolve("hf:owner/model", { offline: true });
    assert.deepEqual(readFileSync(model.path), content);
    await assert.rejects(machine.resolve("hf:owner/model:Q8_0", { offline: true }), { code: "offline" });
  });

  const refusals: [string, string, ModelStoreErrorCode, RegExp][] = [
    ["a repository that is not there", "hf:owner/other", "not-found", /status 404/],
    ["a quantization that is not there", "hf:owner/model:Q2_K", "not-found", /Q2_K.*model-Q4_K_M\.gguf/],
    ["a file that is not there", "hf:owner/model:x.gguf", "not-found", /x\.gguf/],
  ];
  for (const [what, spec, code, message] of refusals) {
    test(`refuses ${what}`, async () => {
      const hub = await startFakeHub(files);
      await assert.rejects(new ModelMachine({ HF_ENDPOINT: hub.url }).resolve(spec), { code, message });
    });
  }

  test("refuses a file that is not the one that was listed", async () => {
    const hub = await startFakeHub({ "model.gguf": content });
    const liar = await startServer((request, response) => {
      if (request.url?.startsWith("/api/"))
        response.writeHead(307, { location: hub.url + request.url }).end();
      else
        sendFile(request, response, { content: Buffer.concat([content.subarray(0, -1), Buffer.from("x")]) });
    });
    await assert.rejects(new ModelMachine({ HF_ENDPOINT: liar.url }).resolve("hf:owner/model"), {
      code: "checksum-mismatch",
    });
  });

  test("says how to get a gated model", async () => {
    const hub = await startFakeHub(files, "hf_secret");
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url, HF_TOKEN: "hf_wrong" });
    await assert.rejects(machine.resolve("hf:owner/model"), { code: "not-authorized", message: /HF_TOKEN/ });
  });

  test("two who want the same model fetch it once", async () => {
    const hub = await startFakeHub(files);
    const machine = new ModelMachine({ HF_ENDPOINT: hub.url });
    const [first, second] = await Promise.all([
      machine.resolve("hf:owner/model"),
      machine.resolve("hf:owner/model"),
    ]);
    assert.deepEqual(first, second);
    assert.equal(hub.storage.requests.length, 1);
  });
});

describe("models from a URL", () => {
  test("are checked against the hash in the URL", async () => {
    const server = await startServer((request, response) => sendFile(request, response, { content }));
    const machine = new ModelMachine();
    const url = `${server.url}/a/tiny.gguf?signature=secret`;
    await assert.rejects(machine.resolve(`${url}#sha256=${"0".repeat(64)}`), { code: "checksum-mismatch" });
    const model = await machine.resolve(`${url}#sha256=${sha256Of(content)}`);
    assert.equal(model.name, "tiny");
    assert.doesNotMatch(JSON.stringify(model), /secret/);
    assert.deepEqual(await machine.resolve(url, { offline: true }), model);
  });

  test("have all parts of a split model fetched from beside the first", async () => {
    const parts: Record<string, Buffer> = { 1: content, 2: other };
    const server = await startServer((request, response) => {
      const part = /^\/a\/m-0000(\d)-of-00002\.gguf\?key=k$/.exec(request.url ?? "")?.[1];
      sendFile(request, response, { content: parts[part ?? ""] ?? Buffer.from("other") });
    });
    const url = `${server.url}/a/m-00001-of-00002.gguf?key=k`;
    const model = await new ModelMachine().resolve(url);
    assert.equal(model.name, "m");
    assert.deepEqual(
      model.files.map((file) => readFileSync(file)),
      [content, other],
    );
    const wrongPart = url.replace("00001", "00002");
    await assert.rejects(new ModelMachine().resolve(wrongPart), { message: /give the first part/ });
    await assert.rejects(new ModelMachine().resolve(`${url}#sha256=${sha256Of(content)}`), {
      code: "bad-spec",
    });
  });

  test("cannot choose where they are written", async () => {
    const server = await startServer((request, response) => sendFile(request, response, { content }));
    const machine = new ModelMachine();
    const model = await machine.resolve(`${server.url}/x/..%2f..%2f..%2fevil.gguf`);
    assert.ok(model.path.startsWith(join(machine.cacheDir, "models/")));
    await assert.rejects(machine.resolve(`${server.url}/..%2f..`), { code: "bad-spec" });
  });
});
