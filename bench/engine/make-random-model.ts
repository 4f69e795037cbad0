/*
 * Makes a llama model of any shape with random weights in Q4_0 and the tokenizer of an existing GGUF file: speed without
 * a download, nonsense for text.
 * Run: npm run bench:random-model -- --out FILE [--from FILE] [--embedding 1024] [--blocks 8] ...
 */
import { Command, InvalidArgumentError } from "commander";
import { packageFile } from "../../src/cli/package-file.ts";
import { BLOCK_LENGTH, DEFAULT_SHAPE, writeRandomModel, type ModelShape } from "./random-model.ts";

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
  .option("--embedding <n>", "width", multipleOf(BLOCK_LENGTH), DEFAULT_SHAPE.embedding)
  .option("--blocks <n>", "layers", multipleOf(1), DEFAULT_SHAPE.blocks)
  .option("--feed-forward <n>", "width inside a layer", multipleOf(BLOCK_LENGTH), DEFAULT_SHAPE.feedForward)
  .option("--heads <n>", "of attention", multipleOf(1), DEFAULT_SHAPE.heads)
  .option("--kv-heads <n>", "of keys and values", multipleOf(1), DEFAULT_SHAPE.kvHeads);

async function main(): Promise<void> {
  const { out, from, ...shape } = command.parse().opts<ModelShape & { out: string; from: string }>();
  if (shape.embedding % shape.heads !== 0 || shape.heads % shape.kvHeads !== 0)
    command.error("--heads must divide --embedding, and --kv-heads --heads");
  await writeRandomModel(out, from, shape);
}

await main();
