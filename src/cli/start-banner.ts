import type { ModelInfo } from "../../models/model-info.ts";
import type { Config } from "../config/options.ts";
import { formatSize } from "../config/value-types.ts";

export interface BannerFacts {
  readonly url: string;
  readonly model: ModelInfo;
  /** Lines of the engine worth a person's attention: backends passed over, the memory plan. */
  readonly notes: readonly string[];
}

/** What a user wants to know once the server listens, ending with a command to try it. */
export function startBanner({ url, model, notes }: BannerFacts, config: Config): string {
  const { kvPool } = model;
  const rows = [
    ["listening", url],
    ["model", `${model.id} (${describe(model)}, ${formatSize(model.sizeBytes)})`],
    [
      "backend",
      `${model.backend}: ${model.deviceNames.join(", ") || "CPU"}, ${plural(model.numThreads, "thread")}`,
    ],
    [
      "KV pool",
      `${kvPool.numBlocks} blocks of ${kvPool.blockSize} tokens = ${kvPool.numBlocks * kvPool.blockSize} tokens, ` +
        `${formatSize(kvPool.sizeBytes)} (${kvPool.cacheTypeK}/${kvPool.cacheTypeV})`,
    ],
  ];
  const table = rows.map(([name, value]) => `  ${name?.padEnd(9)}  ${value}`).join("\n");
  const remarks = notes.map((note) => note.replaceAll(/^/gm, "  ")).join("\n");
  return `\n${table}\n\n${remarks}\n\n${curlLine(url, model.id, config)}\n`;
}

/** The library guesses the size from the number of layers ("llama 256M Q4_1" for 135 million parameters). */
function describe({ description, numParameters }: ModelInfo): string {
  return description.replace(/^(\S+) \S+/, `$1 ${formatCount(numParameters)}`);
}

function formatCount(numParameters: number): string {
  const millions = numParameters / 1e6;
  return millions < 1000
    ? `${Number(millions.toPrecision(3))}M`
    : `${Number((millions / 1000).toPrecision(3))}B`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function curlLine(url: string, modelId: string, config: Config): string {
  // The key itself stays out of terminals and their logs.
  const key = config.apiKeys.length > 0 ? ` -H "Authorization: Bearer $HEADWAY_API_KEY"` : "";
  const body = JSON.stringify({
    model: modelId,
    stream: true,
    // Small models lose the thread at the API's default of 1.
    temperature: 0,
    messages: [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: "What is the capital of France?" },
    ],
  });
  return `  curl -N ${reachable(url)}/v1/chat/completions -H 'Content-Type: application/json'${key} -d '${body.replaceAll("'", "'\\''")}'`;
}

/** 0.0.0.0 and :: mean every address; a client needs one of them. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]");
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
