/*
 * Makes a llama model of any shape with random weights in Q4_0 and the tokenizer of an existing GGUF file: speed without
 * a download, nonsense for text.
 * Run: npm run bench:random-model -- --out FILE [--from FILE] [--embedding 1024] [--blocks 8] ...
 */
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { gguf, buildGgufHeader, type GGUFTypedMetadata } from "@huggingface/gguf";
import { Command, InvalidArgumentError } from "commander";
import { packageFile } from "../../src/cli/package-file.ts";
import { seededRandom } from "../seeded-random.ts";

interface Shape {
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
const BLOCK_LENGTH = 32;
const BLOCK_BYTES = 18;
const ALIGNMENT = 32;
const CONTEXT_LENGTH = 8_192;
/** Standard deviation of evenly distributed numbers of -8 to 7. */
const NIBBLE_DEVIATION = 4.6;

function tensorsOf(shape: Shape, vocabSize: number): Tensor[] {
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
function metadataOf(source: GGUFTypedMetadata, shape: Shape, numTensors: number): GGUFTypedMetadata {
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

function multipleOf(step: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value > 0 && value % step === 0) return value;
    throw new InvalidArgumentError(
      step === 1 ? "a whole number is needed" : `a multiple of ${step} is needed`,
    );
  };
}

const command = new Command("random-model")
  .requiredOption("--out <file>", "the GGUF file to write")
  .option("--from <file>", "whose tokenizer to take", packageFile("models/demo/headway-demo.gguf"))
  .option("--embedding <n>", "width", multipleOf(BLOCK_LENGTH), 1_024)
  .option("--blocks <n>", "layers", multipleOf(1), 8)
  .option("--feed-forward <n>", "width inside a layer", multipleOf(BLOCK_LENGTH), 2_816)
  .option("--heads <n>", "of attention", multipleOf(1), 16)
  .option("--kv-heads <n>", "of keys and values", multipleOf(1), 4);

async function main(): Promise<void> {
  const { out, from, ...shape } = command.parse().opts<Shape & { out: string; from: string }>();
  if (shape.embedding % shape.heads !== 0 || shape.heads % shape.kvHeads !== 0)
    command.error("--heads must divide --embedding, and --kv-heads --heads");
  const { typedMetadata } = await gguf(from, { typedMetadata: true, allowLocalFile: true });
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

await main();
