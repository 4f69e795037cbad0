import type { GgufFacts } from "../../models/gguf/gguf-facts.ts";
import { kvBytesPerToken } from "../../models/gguf/kv-bytes.ts";
import type { MemoryPlan } from "../../models/memory-plan.ts";
import { formatMemoryPlan, planMemory } from "../../models/memory-plan.ts";
import { probeRam } from "../../models/memory-probe.ts";
import { formatBytes } from "../../models/store/format-bytes.ts";
import type { ResolvedModel } from "../../models/store/resolved-model.ts";
import { formatColumns } from "./models-table.ts";

/** What `headway models show` prints. */
export function factsReport(model: ResolvedModel, facts: GgufFacts): string {
  const template = facts.chatTemplate ?? "none: a base model; give one with --chat-template";
  return [
    formatColumns(factRows(model, facts)),
    `\nMemory plan on this machine, on the CPU with default settings and one pool for all rows:\n${describePlan(facts)}`,
    `\nChat template:\n${stripControls(template)}`,
  ].join("\n");
}

function factRows(model: ResolvedModel, facts: GgufFacts): string[][] {
  const { tokenizer } = facts;
  return [
    ["name", model.name],
    ["source", model.source],
    [
      "file",
      model.files.length === 1 ? model.path : `${model.path} and ${model.files.length - 1} more parts`,
    ],
    ["title", facts.name ?? "-"],
    ["licence", facts.license ?? "-"],
    ["architecture", `${facts.architecture}${describeMemory(facts)}`],
    ["parameters", `${formatCount(facts.numParameters)}${describeExperts(facts)}`],
    ["quantization", `${facts.quantization} (most bytes in ${facts.dominantTensorType})`],
    ["weights", formatBytes(facts.weightsBytes)],
    ["context", facts.contextLength === null ? "-" : `${facts.contextLength} tokens`],
    ["layers", `${facts.numLayers} of ${facts.embeddingLength}, ${describeHeads(facts)}`],
    ["KV cache", describeKvCache(facts)],
    ["vocabulary", `${facts.vocabSize ?? "-"} tokens, ${tokenizer.model ?? "-"}/${tokenizer.pre ?? "-"}`],
    ["BOS, EOS", `${tokenizer.bosTokenId ?? "-"}, ${tokenizer.eosTokenId ?? "-"}`],
  ].map((row) => row.map(stripControls));
}

function describeMemory(facts: GgufFacts): string {
  const traits = [
    facts.isCausal ? "" : "an encoder: cannot generate text",
    facts.hasRecurrentState ? "recurrent layers" : "",
    facts.slidingWindow === null ? "" : `sliding window of ${facts.slidingWindow} tokens`,
    facts.usesLatentAttention ? "latent attention" : "",
  ].filter((trait) => trait !== "");
  return traits.length === 0 ? "" : ` (${traits.join(", ")})`;
}

function describeExperts({ numExperts, numExpertsUsed }: GgufFacts): string {
  return numExperts === 0 ? "" : `, ${numExpertsUsed} of ${numExperts} experts at a time`;
}

function describeHeads(facts: GgufFacts): string {
  return `${facts.numHeads} heads, ${maxKvHeads(facts)} key-value heads`;
}

function describeKvCache(facts: GgufFacts): string {
  const sizes = (["f16", "q8_0"] as const).map(
    (type) => `${kvBytesPerToken(facts, type)} bytes a token (${type})`,
  );
  const isBound = facts.slidingWindow !== null || facts.hasRecurrentState;
  return `${isBound ? "at most " : ""}${sizes.join(", ")}`;
}

function maxKvHeads(facts: GgufFacts): number {
  return Math.max(...facts.numKvHeadsPerLayer);
}

function formatCount(count: number): string {
  const [scale, unit] = count >= 1e9 ? [1e9, " billion"] : [1e6, " million"];
  return `${Number((count / scale).toPrecision(3))}${unit}`;
}

function describePlan(facts: GgufFacts): string {
  try {
    return formatMemoryPlan(planOnCpu(facts));
  } catch (error) {
    if (error instanceof Error && error.name === "MemoryPlanError") return error.message;
    throw error;
  }
}

function planOnCpu(facts: GgufFacts): MemoryPlan {
  const memory = probeRam();
  return planMemory({
    isGpu: false,
    kvLayout: "paged",
    shape: facts,
    weightsBytes: facts.weightsBytes,
    memory: { ...memory, freeBytes: Math.max(0, memory.freeBytes - facts.weightsBytes) },
    flashAttention: true,
    maxNumBatchedTokens: 512,
    cacheTypeK: "f16",
    cacheTypeV: "f16",
    kvMemoryBytes: null,
    gpuMemoryUtilization: 1,
    maxModelLen: null,
    maxNumSeqs: null,
  });
}

/** Text from a model file must not drive the terminal. */
function stripControls(text: string): string {
  return text.replaceAll(/(?![\n\t])[\p{Cc}\u202a-\u202e]/gu, "");
}
