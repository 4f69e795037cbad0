import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** A new folder that is deleted when the tests of the file are over. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "headway-test-"));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
