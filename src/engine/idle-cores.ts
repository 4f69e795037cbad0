import { cpus } from "node:os";

/**
 * Returns a function that tells how many cores' worth of time nobody used since it was last called, over all processes
 * of the machine; null where the system does not say.
 */
export function createIdleCoresProbe(now: () => number): () => number | null {
  let lastMs = now();
  let lastIdleMs = totalIdleMs();
  return () => {
    const nowMs = now();
    const idleMs = totalIdleMs();
    const elapsedMs = nowMs - lastMs;
    const idleCores = elapsedMs > 0 && idleMs > 0 ? (idleMs - lastIdleMs) / elapsedMs : null;
    lastMs = nowMs;
    lastIdleMs = idleMs;
    return idleCores;
  };
}

function totalIdleMs(): number {
  let idleMs = 0;
  for (const { times } of cpus()) idleMs += times.idle;
  return idleMs;
}
