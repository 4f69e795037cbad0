import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { buildGgufHeader, gguf, type GGUFTypedMetadata } from "@huggingface/gguf";
import { seededRandom } from "../seeded-random.ts";

/** Of a llama model; KV heads divide heads, heads divide the embedding. */
export interface ModelShape {
  readonly embedding: number;
  readonly blocks: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
}

interface Tensor {
  readonly name: string;
  /** Elements, innermost dimension first. */
  readonly dimensions: readonly [number] | readonly [number, number];
}

/** ggml type ids. */
const F32 = 0;
const Q4_0 = 2;
/** GGUF value type ids. */
const UINT32 = 4;
/** Q4_0: an f16 scale and 32 numbers of -8 to 7 (ggml/src/ggml-common.h). */
export const BLOCK_LENGTH = 32;
const BLOCK_BYTES = 18;
const ALIGNMENT = 32;
const CONTEXT_LENGTH = 8_192;
/** Standard deviation of evenly distributed numbers of -8 to 7. */
const NIBBLE_DEVIATION = 4.6;

function tensorsOf(shape: ModelShape, vocabSize: number): Tensor[] {
  const { embedding, blocks, feedForward, heads, kvHeads } = shape;
  const kvLength = (embedding / heads) * kvHeads;
  const inBlock = (index: number): Tensor[] =>
    [
      ["attn_norm", [embedding]],
      ["attn_q", [embedding, embedding]],
      ["attn_k", [embedding, kvLength]],
      ["attn_v", [embedding, kvLength]],
      ["attn_output", [embedding, embedding]],
      ["ffn_norm", [embedding]],
      ["ffn_gate", [embedding, feedForward]],
      ["ffn_up", [embedding, feedForward]],
      ["ffn_down", [feedForward, embedding]],
    ].map(([part, dimensions]) => ({
      name: `blk.${index}.${part as string}.weight`,
      dimensions: dimensions as unknown as Tensor["dimensions"],
    }));
  return [
    { name: "token_embd.weight", dimensions: [embedding, vocabSize] },
    { name: "output_norm.weight", dimensions: [embedding] },
    ...Array.from({ length: blocks }, (_, index) => inBlock(index)).flat(),
  ];
}

/** That of the source, for what its tokenizer is; everything about size is replaced. */
function metadataOf(source: GGUFTypedMetadata, shape: ModelShape, numTensors: number): GGUFTypedMetadata {
  const uint32 = (value: number) => ({ value, type: UINT32 });
  const kept = Object.entries(source).filter(([key]) => key.startsWith("tokenizer.") || !key.includes("."));
  return Object.assign(Object.fromEntries(kept), {
    tensor_count: { ...source.tensor_count, value: BigInt(numTensors) },
    "general.architecture": { value: "llama", type: 8 },
    "general.name": { value: "random weights", type: 8 },
    "llama.block_count": uint32(shape.blocks),
    "llama.context_length": uint32(CONTEXT_LENGTH),
    "llama.embedding_length": uint32(shape.embedding),
    "llama.feed_forward_length": uint32(shape.feedForward),
    "llama.attention.head_count": uint32(shape.heads),
    "llama.attention.head_count_kv": uint32(shape.kvHeads),
    "llama.attention.layer_norm_rms_epsilon": { value: 1e-5, type: 6 },
    "llama.rope.dimension_count": uint32(shape.embedding / shape.heads),
  }) as unknown as GGUFTypedMetadata;
}

function sizeOf({ dimensions }: Tensor): number {
  const numElements = dimensions[0] * (dimensions[1] ?? 1);
  return dimensions.length === 1 ? 4 * numElements : (numElements / BLOCK_LENGTH) * BLOCK_BYTES;
}

function describe(tensors: readonly Tensor[]): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dimensions } = tensor;
    const description = Buffer.alloc(8 + name.length + 4 + 8 * dimensions.length + 12);
    let at = description.writeBigUInt64LE(BigInt(name.length));
    at += description.write(name, at);
    at = description.writeUInt32LE(dimensions.length, at);
    for (const length of dimensions) at = description.writeBigUInt64LE(BigInt(length), at);
    at = description.writeUInt32LE(dimensions.length === 1 ? F32 : Q4_0, at);
    description.writeBigUInt64LE(BigInt(offset), at);
    parts.push(description);
    offset += aligned(sizeOf(tensor));
  }
  return Buffer.concat(parts);
}

function aligned(numBytes: number): number {
  return Math.ceil(numBytes / ALIGNMENT) * ALIGNMENT;
}

/** Weights that keep the size of what they multiply; norms that change nothing. */
function fill(tensor: Tensor, random: () => number): Buffer {
  const bytes = Buffer.alloc(aligned(sizeOf(tensor)));
  if (tensor.dimensions.length === 1) {
    for (let at = 0; at < sizeOf(tensor); at += 4) bytes.writeFloatLE(1, at);
    return bytes;
  }
  const scale = halfFloat(1 / (NIBBLE_DEVIATION * Math.sqrt(tensor.dimensions[0])));
  for (let at = 0; at < sizeOf(tensor); at += BLOCK_BYTES) {
    bytes.writeUInt16LE(scale, at);
    for (let part = 2; part < BLOCK_BYTES; part += 4)
      bytes.writeUInt32LE(Math.floor(random() * 2 ** 32), at + part);
  }
  return bytes;
}

/** Bits of a normal f16 (2^-14 to 2^15), its last digits cut off. */
function halfFloat(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024);
}

/** Enough work for a prompt of 1,500 tokens to take seconds on two cores, in wide layers as larger models have. */
export const DEFAULT_SHAPE: ModelShape = {
  embedding: 1_024,
  blocks: 8,
  feedForward: 2_816,
  heads: 16,
  kvHeads: 4,
};

/**
 * Writes a model of random weights in Q4_0 with the tokenizer of another GGUF file. The same arguments give the same file.
 */
export async function writeRandomModel(out: string, tokenizerFrom: string, shape: ModelShape): Promise<void> {
  const { typedMetadata } = await gguf(tokenizerFrom, { typedMetadata: true, allowLocalFile: true });
  const vocabSize = (typedMetadata["tokenizer.ggml.tokens"]!.value as readonly string[]).length;
  const tensors = tensorsOf(shape, vocabSize);
  const described = describe(tensors);
  const header = await buildGgufHeader(
    new Blob([described]),
    metadataOf(typedMetadata, shape, tensors.length),
    {
      littleEndian: true,
      tensorInfoByteRange: [0, described.length],
      alignment: ALIGNMENT,
    },
  );
  const file = createWriteStream(out);
  file.write(Buffer.from(await header.arrayBuffer()));
  const random = seededRandom(1);
  for (const tensor of tensors) if (!file.write(fill(tensor, random))) await once(file, "drain");
  file.end();
  await once(file, "finish");
}
