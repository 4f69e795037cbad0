/** Samples of one scrape of a Prometheus endpoint: name with labels, as printed, to value. */
export type Samples = ReadonlyMap<string, number>;

export async function scrape(url: string): Promise<Samples> {
  const response = await fetch(new URL("/metrics", url));
  if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
  return parseSamples(await response.text());
}

/** The text format without timestamps, which no metric here has. */
export function parseSamples(text: string): Samples {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    const valueAt = line.lastIndexOf(" ");
    if (line.startsWith("#") || valueAt === -1) continue;
    samples.set(line.slice(0, valueAt), Number(line.slice(valueAt + 1)));
  }
  return samples;
}

/** Sum of all samples of a metric that carry a label such as `state="free"`; null where there is none. */
export function sampleSum(samples: Samples, name: string, label = ""): number | null {
  let sum: number | null = null;
  for (const [key, value] of samples) {
    const [keyName] = key.split("{", 1);
    if (keyName === name && key.includes(label)) sum = (sum ?? 0) + value;
  }
  return sum;
}

/** How much a counter has grown between two scrapes; null where the server does not have it. */
export function growth(
  before: Samples,
  after: Samples,
  counter: readonly [name: string, label?: string],
): number | null {
  const end = sampleSum(after, ...counter);
  return end === null ? null : end - (sampleSum(before, ...counter) ?? 0);
}

/**
 * Prompt tokens that went through the model between two scrapes: all tokens of the steps less their decode rows.
 * Other than a sum over finished requests it holds what was computed again after a preemption or a crash.
 */
export function computedPrefillTokens(before: Samples, after: Samples): number | null {
  const all = growth(before, after, ["vllm:iteration_tokens_total_sum"]);
  const decoded = growth(before, after, ["headway_batch_sequences_sum"]);
  return all === null || decoded === null ? null : all - decoded;
}
