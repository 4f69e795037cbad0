/** A slow machine is no failure: only what never comes is. */
const PATIENCE_MS = 30_000;

/** Looks every millisecond whether `condition` holds. Rejects when that takes too long. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("the condition was not met in time");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
