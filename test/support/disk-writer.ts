import { DiskMachine } from "./disk-machine.ts";
import { range } from "./scheduler-builders.ts";

/** Writes prefixes to the folder it is told, one after another, until it is killed; says so after each. */

const COPY_BYTES = 8 << 20;

const [folder = ""] = process.argv.slice(2);
const machine = new DiskMachine(folder, {
  kv: { maxCachedBlocks: 0, maxHostBlocks: 4 },
  maxBytes: 20 * COPY_BYTES,
  copyBytes: COPY_BYTES,
  computeMsPerToken: () => 1000,
});
machine.disk.load();
for (let first = 0; process.connected; first = (first + 10) % 250) {
  machine.run(range(first, 8));
  await machine.disk.sync();
  process.send?.(first);
}
