import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";

import { headwayCacheDir, hubCacheDirs, isOfflineByEnvironment } from "../../models/store/cache-dirs.ts";
import { CATALOGUE } from "../../models/store/catalogue.ts";
import { formatBytes } from "../../models/store/format-bytes.ts";
import { filesOfModel, selectModelFile } from "../../models/store/hub-selection.ts";
import type { HubSpec } from "../../models/store/model-spec.ts";
import { formatRemoteSpec, parseModelSpec, parseRemoteSpec } from "../../models/store/model-spec.ts";
import type { ModelStoreErrorCode } from "../../models/store/model-store-error.ts";
import { servedNameOf } from "../../models/store/served-name.ts";
import { entryDirOf, safeFileName } from "../../models/store/store-entry.ts";

const HASH = "a".repeat(64);

describe("model specs", () => {
  test("are told apart", () => {
    const kinds = [
      "./a.gguf",
      "a.GGUF",
      "models/a",
      "demo",
      "DEMO",
      "hf:a/b",
      "https://a.example/b.gguf",
      "pypi:a==1",
    ];
    assert.deepEqual(
      kinds.map((spec) => parseModelSpec(spec).kind),
      ["file", "file", "file", "catalogue", "catalogue", "hub", "url", "package"],
    );
  });

  test("name repository, revision and file", () => {
    assert.deepEqual(parseModelSpec("hf:a-1/b.c@v1/x:Q4_K_M"), {
      kind: "hub",
      repo: "a-1/b.c",
      revision: "v1/x",
      selector: "Q4_K_M",
    });
    const plain = parseModelSpec("hf:a/b");
    assert.deepEqual(plain, { kind: "hub", repo: "a/b", revision: "main", selector: null });
  });

  test("may pin the hash of a URL", () => {
    const pinned = parseModelSpec(`http://a.example/b.gguf#sha256=${HASH.toUpperCase()}`);
    assert.deepEqual(pinned, { kind: "url", url: "http://a.example/b.gguf", sha256: HASH });
  });

  const refusals: [spec: string, code: ModelStoreErrorCode][] = [
    ["hf:a", "bad-spec"],
    ["hf:a/b/c", "bad-spec"],
    ["hf:../..", "bad-spec"],
    ["hf:a/b:../c.gguf", "bad-spec"],
    ["hf:a/b@", "bad-spec"],
    ["hf:a/b?x=1", "bad-spec"],
    ["pypi:a", "bad-spec"],
    ["pypi:a>=1", "bad-spec"],
    ["pypi:--index-url==1", "bad-spec"],
    ["pypi:a==1 --pre", "bad-spec"],
    ["https://", "bad-spec"],
    ["http://a.example/b.gguf", "bad-spec"],
    ["https://a.example/b.gguf#sha256=12", "bad-spec"],
    ["SmolLM3", "unknown-model"],
    ["", "unknown-model"],
  ];
  for (const [spec, code] of refusals) {
    test(`refuses ${JSON.stringify(spec)}`, () => {
      assert.throws(() => parseModelSpec(spec), { name: "ModelStoreError", code });
    });
  }

  test("have one spelling, without secrets", () => {
    const spellings = [
      ["hf:a/b@main:Q8_0", "hf:a/b:Q8_0"],
      ["hf:a/b@v2", "hf:a/b@v2"],
      ["pypi:Tiny==1.0", "pypi:tiny==1.0"],
      ["https://me:secret@a.example/b.gguf?token=secret", "https://a.example/b.gguf"],
    ] as const;
    for (const [spec, expected] of spellings) assert.equal(formatRemoteSpec(parseRemoteSpec(spec)), expected);
  });
});

describe("the catalogue", () => {
  test("has one default, sound names, sources and hashes", () => {
    assert.equal(CATALOGUE.filter((entry) => entry.isDefault).length, 1);
    assert.equal(new Set(CATALOGUE.map((entry) => entry.name.toLowerCase())).size, CATALOGUE.length);
    for (const entry of CATALOGUE) {
      assert.equal(parseModelSpec(entry.name).kind, "catalogue");
      for (const source of entry.sources)
        assert.equal(typeof formatRemoteSpec(parseRemoteSpec(source)), "string");
      assert.match(entry.sha256 ?? HASH, /^[0-9a-f]{64}$/);
    }
  });
});

describe("choosing a file of a repository", () => {
  const spec = (selector: string | null): HubSpec => ({
    kind: "hub",
    repo: "a/b",
    revision: "main",
    selector,
  });
  const paths = [
    "m-Q8_0.gguf",
    "m-Q4_K_M.gguf",
    "mmproj-m-Q4_K_M.gguf",
    "UD/m-UD-Q2_K_XL.gguf",
    "Q6_K/m-00001-of-00002.gguf",
    "Q6_K/m-00002-of-00002.gguf",
  ];

  const choices: [selector: string | null, expected: string][] = [
    [null, "m-Q4_K_M.gguf"],
    ["Q8_0", "m-Q8_0.gguf"],
    ["q8_0", "m-Q8_0.gguf"],
    ["UD-Q2_K_XL", "UD/m-UD-Q2_K_XL.gguf"],
    ["m-UD-Q2_K_XL.gguf", "UD/m-UD-Q2_K_XL.gguf"],
    ["Q6_K", "Q6_K/m-00001-of-00002.gguf"],
    ["mmproj-m-Q4_K_M.gguf", "mmproj-m-Q4_K_M.gguf"],
  ];
  for (const [selector, expected] of choices) {
    test(`takes ${expected} for ${selector ?? "nothing"}`, () => {
      assert.equal(selectModelFile(spec(selector), paths), expected);
    });
  }

  test("takes the first file where no usual quantization is there", () => {
    assert.equal(selectModelFile(spec(null), ["b-F16.gguf", "a-F32.gguf"]), "a-F32.gguf");
  });

  test("says what there is", () => {
    assert.throws(() => selectModelFile(spec("Q3_K_S"), paths), {
      code: "not-found",
      message: /Q3_K_S.*m-Q8_0\.gguf/,
    });
    assert.throws(() => selectModelFile(spec(null), []), { code: "not-found", message: /it has none/ });
  });

  test("wants all parts of a split model", () => {
    assert.deepEqual(filesOfModel("Q6_K/m-00001-of-00002.gguf", paths), paths.slice(4));
    assert.throws(() => filesOfModel("x-00001-of-00003.gguf", ["x-00001-of-00003.gguf"]), {
      code: "not-found",
    });
  });
});

describe("places in the cache", () => {
  test("stay inside it whatever the spec", () => {
    const specs = [
      "hf:a/b:x/.gguf",
      "https://a.example/../../etc/passwd",
      "https://..%2f..%2f@a.example/%2e%2e/x",
      "pypi:a==1..2",
    ];
    for (const spec of specs) {
      const dir = entryDirOf("/cache", parseRemoteSpec(spec));
      assert.match(dir, /^\/cache\/models\/[A-Za-z0-9][\w.-]*$/);
      assert.ok(!dir.includes(".."), dir);
    }
  });

  test("keep URLs apart that differ in their query only", () => {
    const [first, second] = ["https://a.example/x?v=1", "https://a.example/x?v=2"].map((url) =>
      entryDirOf("/c", parseRemoteSpec(url)),
    );
    assert.notEqual(first, second);
  });

  test("turn paths into plain file names", () => {
    assert.equal(safeFileName("a/b c+1.gguf"), "b c+1.gguf");
    assert.equal(safeFileName("x\u001b[2J.gguf"), "x_2J.gguf");
    for (const path of ["..", ".", "", "a/.."]) assert.throws(() => safeFileName(path), { code: "bad-spec" });
  });

  test("follow the environment in the usual order", () => {
    assert.equal(headwayCacheDir({ HEADWAY_CACHE: "/h", XDG_CACHE_HOME: "/x" }), "/h");
    assert.equal(headwayCacheDir({ XDG_CACHE_HOME: "/x" }), join("/x", "headway"));
    const env = { LLAMA_CACHE: "/l", HF_HUB_CACHE: "/a", HUGGINGFACE_HUB_CACHE: "/b", HF_HOME: "/c" };
    assert.deepEqual(hubCacheDirs(env), ["/l", "/a", "/b", join("/c", "hub")]);
    assert.deepEqual(hubCacheDirs({ XDG_CACHE_HOME: "/x" }), [join("/x", "huggingface", "hub")]);
  });

  test("know when the network shall not be used", () => {
    assert.ok(isOfflineByEnvironment({ HF_HUB_OFFLINE: "1" }));
    assert.ok(isOfflineByEnvironment({ HEADWAY_OFFLINE: "true" }));
    assert.ok(!isOfflineByEnvironment({ HF_HUB_OFFLINE: "0", HEADWAY_OFFLINE: "" }));
  });
});

describe("what people read", () => {
  test("names models by their files", () => {
    assert.equal(servedNameOf("/x/Tiny-Q4_0-00001-of-00003.gguf"), "Tiny-Q4_0");
    assert.equal(servedNameOf("a.b.gguf"), "a.b");
  });

  test("writes sizes in three digits", () => {
    const sizes: [number, string][] = [
      [0, "0 B"],
      [999, "999 B"],
      [1000, "1 kB"],
      [98_362_432, "98.4 MB"],
      [4.7e12, "4.7 TB"],
    ];
    for (const [numBytes, expected] of sizes) assert.equal(formatBytes(numBytes), expected);
  });
});
