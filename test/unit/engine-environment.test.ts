import assert from "node:assert/strict";
import { test } from "node:test";
import { engineEnvironment } from "../../src/engine/engine-environment.ts";

test("an engine asks for huge pages beside what else is asked of glibc, unless told otherwise", () => {
  const tunablesFor = (given?: string): string | undefined =>
    engineEnvironment({ HOME: "/", GLIBC_TUNABLES: given })["GLIBC_TUNABLES"];
  assert.equal(tunablesFor(), "glibc.malloc.hugetlb=1");
  assert.equal(tunablesFor("glibc.malloc.check=1"), "glibc.malloc.check=1:glibc.malloc.hugetlb=1");
  assert.equal(tunablesFor("glibc.malloc.hugetlb=0"), "glibc.malloc.hugetlb=0");
  assert.equal(engineEnvironment({ HOME: "/" })["HOME"], "/");
});
