import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";

import { parseRemoteSpec } from "../../models/store/model-spec.ts";
import { entryDirOf } from "../../models/store/store-entry.ts";
import { listModels, pullModel, removeModel, showModel } from "../../src/cli/models.ts";
import type { ModelsOptions } from "../../src/cli/models.ts";
import { sendFile, startServer, whenTrue } from "../support/file-server.ts";
import { llamaKeys, smallGguf, text } from "../support/gguf-writer.ts";
import { ModelMachine } from "../support/model-machine.ts";
import { startHeadway } from "../support/run-headway.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Runs the commands on a machine of its own and collects what they print. */
class Session {
  readonly machine = new ModelMachine();
  readonly options: ModelsOptions;
  #lines: string[] = [];

  constructor(json = false) {
    const { machine } = this;
    machine.env["HEADWAY_CACHE"] = machine.cacheDir;
    this.options = {
      print: (line) => this.#lines.push(line),
      progress: machine.progress,
      signal: new AbortController().signal,
      env: machine.env,
      json,
    };
  }

  takeOutput(): string {
    const output = this.#lines.join("\n");
    this.#lines = [];
    return output;
  }
}

describe("headway models", () => {
  test("pull, list, show and rm work on the same model", async () => {
    const server = await startServer((request, response) =>
      sendFile(request, response, { content: smallGguf() }),
    );
    const url = `${server.url}/tiny.gguf`;
    const session = new Session();
    await pullModel(url, session.options);
    assert.match(session.takeOutput(), /^tiny is ready \(llama, F32\): /);
    await listModels(session.options);
    assert.match(
      session.takeOutput(),
      /SmolLM2-135M-Instruct \(default\).*no[^]*demo.*yes[^]*Also fetched:\n.*tiny\.gguf/,
    );
    await showModel(url, session.options);
    const shown = session.takeOutput();
    for (const expected of [
      /architecture +llama/,
      /context +2048 tokens/,
      /256 bytes a token \(f16\)/,
      /Memory plan/,
      /message\.content/,
    ]) {
      assert.match(shown, expected);
    }
    await removeModel("tiny", session.options);
    assert.match(session.takeOutput(), /^removed /);
    await assert.rejects(showModel(url, session.options), {
      code: "not-found",
      message: /is not on this machine; "headway models pull http.*tiny\.gguf" fetches it/,
    });
  });

  test("a pull that is interrupted ends orderly: what came stays, the lock goes", async () => {
    const content = smallGguf();
    const server = await startServer((_, response) => {
      response
        .writeHead(200, { "content-length": content.length, etag: '"a"' })
        .write(content.subarray(0, 500));
    });
    const cacheDir = temporaryFolder();
    const url = `${server.url}/tiny.gguf`;
    const environment = { HEADWAY_CACHE: cacheDir, no_proxy: "127.0.0.1" };
    const { child, ended } = startHeadway(["models", "pull", url], environment);
    const dir = entryDirOf(cacheDir, parseRemoteSpec(url));
    const partial = join(dir, "tiny.gguf.partial");
    whenTrue(
      () => existsSync(partial) && statSync(partial).size === 500,
      () => child.kill("SIGINT"),
    );
    const { code, stderr } = await ended;
    assert.equal(code, 130, stderr);
    assert.deepEqual(readdirSync(join(cacheDir, "models")), [basename(dir)]);
    assert.equal(statSync(partial).size, 500);
  });

  test("show and list speak JSON", async () => {
    const session = new Session(true);
    await showModel("demo", session.options);
    const shown = JSON.parse(session.takeOutput()) as {
      model: { name: string };
      facts: { architecture: string };
    };
    assert.deepEqual([shown.model.name, shown.facts.architecture], ["demo", "llama"]);
    await listModels(session.options);
    const listed = JSON.parse(session.takeOutput()) as { catalogue: { name: string; path: string | null }[] };
    assert.ok(listed.catalogue.some(({ name, path }) => name === "demo" && path !== null));
  });

  test("show does not let a model file drive the terminal", async () => {
    const keys = llamaKeys({
      "general.name": text("\u001b[2Jevil"),
      "tokenizer.chat_template": text("\u001b]0;x\u0007{{ x }}"),
    });
    const server = await startServer((request, response) =>
      sendFile(request, response, { content: smallGguf({ keys }) }),
    );
    const session = new Session();
    await pullModel(`${server.url}/evil.gguf`, session.options);
    await showModel(`${server.url}/evil.gguf`, session.options);
    assert.doesNotMatch(session.takeOutput(), /(?!\n)\p{Cc}/u);
  });
});
