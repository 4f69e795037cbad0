/** Bucket bounds in seconds and tokens: every one of vLLM's, so that its dashboards work, and finer ones below. */

export const ttftSeconds = merge(
  [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
    640, 2560,
  ],
  [0.0025, 0.015, 0.03, 0.15],
);

export const itlSeconds = merge(
  [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80],
  [0.0005, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.0125, 0.015, 0.02, 0.03, 0.04],
);

export const latencySeconds = merge(
  [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680],
  [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2],
);

export const stepSeconds = [
  0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];

export const webSocketSeconds = [0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

export const iterationTokens = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];

export const numChoices = [1, 2, 5, 10, 20];

export const batchSequences = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256];

/** 1, 2, 5, 10, 20, 50 … up to a context of a million tokens. */
export const requestTokens = [0, 1, 2, 3, 4, 5]
  .flatMap((exponent) => [1, 2, 5].map((digit) => digit * 10 ** exponent))
  .concat(1_000_000);

function merge(first: readonly number[], second: readonly number[]): number[] {
  return [...first, ...second].toSorted((left, right) => left - right);
}
