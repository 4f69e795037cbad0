import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ConfigError } from "../../../src/config/config-error.ts";
import { loadConfig } from "../../../src/config/load-config.ts";

function load(sources: Partial<Parameters<typeof loadConfig>[0]> = {}) {
  return loadConfig({ flags: {}, environment: {}, ...sources });
}

function writeFile(t: TestContext, name: string, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), "headway-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function refuses(sources: Partial<Parameters<typeof loadConfig>[0]>, message: string | RegExp) {
  assert.throws(() => load(sources), { name: "ConfigError", message });
}

test("defaults are frozen and keep the server private", () => {
  const config = load();
  assert.equal(config.host, "127.0.0.1");
  assert.equal(config.port, 8000);
  assert.equal(config.model, null);
  assert.equal(config.threads, null);
  assert.equal(config.bodyLimitBytes, 8 * 1024 * 1024);
  assert.equal(config.shutdownTimeoutMs, 30_000);
  assert.equal(config.prefixCache, true);
  assert.deepEqual(config.apiKeys, []);
  assert.ok(Object.isFrozen(config));
});

test("a flag goes before the environment, which goes before the file", (t) => {
  const configFile = writeFile(t, "headway.toml", "port = 1\nthreads = 1\nmax-num-seqs = 1\n");
  const config = load({
    configFile,
    environment: { HEADWAY_THREADS: "2", HEADWAY_MAX_NUM_SEQS: "2" },
    flags: { "max-num-seqs": "3" },
  });
  assert.deepEqual([config.port, config.threads, config.maxNumSeqs], [1, 2, 3]);
});

test("the most stop strings, by flag, environment and file", (t) => {
  assert.equal(load().maxNumStopStrings, 16);
  const configFile = writeFile(t, "headway.toml", "max-stop-strings = 4\n");
  assert.equal(load({ configFile }).maxNumStopStrings, 4);
  const environment = { HEADWAY_MAX_STOP_STRINGS: "8" };
  assert.equal(load({ configFile, environment }).maxNumStopStrings, 8);
  assert.equal(load({ environment, flags: { "max-stop-strings": "1" } }).maxNumStopStrings, 1);
  refuses({ flags: { "max-stop-strings": "0" } }, /max-stop-strings/);
});

test("JSON, TOML and YAML files say the same", (t) => {
  const files = {
    "a.json": '{"kv-memory": "2GiB", "api-key": ["x", "y"], "prefix-cache": false}',
    "a.toml": 'kv-memory = "2GiB"\napi-key = ["x", "y"]\nprefix-cache = false\n',
    "a.yaml": "kv_memory: 2GiB\napi-key: [x, y]\nprefix-cache: off\n",
  };
  for (const [name, content] of Object.entries(files)) {
    const config = load({ configFile: writeFile(t, name, content) });
    assert.equal(config.kvMemoryBytes, 2 * 1024 ** 3, name);
    assert.deepEqual(config.apiKeys, ["x", "y"], name);
    assert.equal(config.prefixCache, false, name);
  }
});

test("HEADWAY_CONFIG names a file; --config goes before it", (t) => {
  const first = writeFile(t, "first.yaml", "port: 1111\n");
  const second = writeFile(t, "second.yaml", "port: 2222\n");
  assert.equal(load({ environment: { HEADWAY_CONFIG: first } }).port, 1111);
  assert.equal(load({ environment: { HEADWAY_CONFIG: first }, configFile: second }).port, 2222);
});

test("an unknown name is refused with the nearest one, wherever it stands", (t) => {
  refuses(
    { environment: { HEADWAY_PROT: "1" } },
    "HEADWAY_PROT in the environment is no setting of Headway; did you mean HEADWAY_PORT?",
  );
  refuses(
    { configFile: writeFile(t, "headway.toml", "max-model-length = 5\n") },
    "max-model-length in headway.toml is no setting of Headway; did you mean max-model-len?",
  );
  refuses(
    { configFile: writeFile(t, "headway.yaml", "completely-different: 5\n") },
    "completely-different in headway.yaml is no setting of Headway",
  );
});

test("a bad value is refused with the place it came from", (t) => {
  refuses({ flags: { port: "99999" } }, '--port must be a whole number from 0 to 65535, not "99999"');
  refuses(
    { environment: { HEADWAY_BACKEND: "gpu" } },
    /^HEADWAY_BACKEND must be one of auto, cuda, .*, not "gpu"$/,
  );
  const configFile = writeFile(t, "headway.json", '{"kv-memory": "lots"}');
  refuses(
    { configFile },
    /^kv-memory in headway.json must be auto or a size of at least 1 MiB, .*, not "lots"$/,
  );
});

test("a file that cannot be read or parsed is refused by its name", (t) => {
  refuses({ configFile: "/does/not/exist.toml" }, /exist\.toml cannot be read \(ENOENT\)/);
  refuses({ configFile: writeFile(t, "broken.toml", "port = = 1") }, /broken\.toml cannot be parsed: /);
  refuses({ configFile: writeFile(t, "list.json", "[1]") }, /list\.json must hold settings by name/);
  refuses({ configFile: writeFile(t, "headway.ini", "") }, /must end in \.json, \.toml/);
});

test("an empty variable and variables of the tests are not settings", () => {
  const config = load({ environment: { HEADWAY_PORT: "", HEADWAY_TEST_MODEL: "/x.gguf", PORT: "1" } });
  assert.equal(config.port, 8000);
});

test("settings that contradict each other are refused", () => {
  assert.throws(
    () => load({ flags: { "stream-buffer-soft": "2M", "stream-buffer-hard": "1M" } }),
    (error) => error instanceof ConfigError && error.message.includes("stream-buffer-soft"),
  );
});
