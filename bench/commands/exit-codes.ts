/** What the exit code of a bench command says; documented in docs/bench.md for CI. */
export const EXIT = {
  ok: 0,
  /** The benchmark could not run, or no request succeeded. */
  failed: 1,
  /** The options do not make sense. */
  usage: 2,
  /** A `--fail-if` condition holds, or no rate meets the SLO. */
  regression: 3,
  /** `--strict` and the client itself was too late or too busy. */
  clientLate: 4,
} as const;
