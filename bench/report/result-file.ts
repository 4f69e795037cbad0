import { createWriteStream, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";

import type { RequestRecord } from "../load/request.ts";

import { RESULT_SCHEMA, type BenchResult } from "./bench-result.ts";
import { vllmDetails, vllmFields } from "./vllm-fields.ts";

/** Writes the result with vLLM's flat fields first; `records` adds its per-request arrays. */
export function writeResult(
  path: string,
  result: BenchResult,
  records: readonly RequestRecord[] | null,
): void {
  const details = records === null ? {} : vllmDetails(records);
  writeJson(path, { ...vllmFields(result), ...details, ...result });
}

/** Writes the JSON file of any bench command. */
export function writeJson(path: string, document: object): void {
  writeFileSync(path, `${JSON.stringify(document, jsonNumber, 2)}\n`);
}

/** JSON has no infinity; readers of vLLM's files expect the string. */
function jsonNumber(_key: string, value: unknown): unknown {
  return value === Infinity ? "inf" : value;
}

/** Reads a result written earlier; throws RangeError for any other file. */
export function readResult(path: string): BenchResult {
  const document = JSON.parse(readFileSync(path, "utf8")) as Partial<BenchResult>;
  if (document.schema !== RESULT_SCHEMA)
    throw new RangeError(`${path} is no ${RESULT_SCHEMA} result (a file written with --json)`);
  return document as BenchResult;
}

/** A line per request: what was measured, nothing derived. `run` tells repetitions apart. */
export async function writeRecords(path: string, runs: readonly (readonly RequestRecord[])[]): Promise<void> {
  const file = createWriteStream(path);
  for (const [run, records] of runs.entries()) {
    for (const record of records) {
      if (!file.write(`${JSON.stringify({ run, ...record })}\n`)) await once(file, "drain");
    }
  }
  file.end();
  await once(file, "finish");
}
