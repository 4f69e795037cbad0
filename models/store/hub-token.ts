import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { Environment } from "./cache-dirs.ts";
import { hubHome } from "./cache-dirs.ts";

/** HF_TOKEN, else the file that `hf auth login` writes (HF_TOKEN_PATH, HF_HOME/token); null without one. */
export async function readHubToken(env: Environment): Promise<string | null> {
  if (env["HF_TOKEN"]) return env["HF_TOKEN"].trim();
  const path = env["HF_TOKEN_PATH"] || join(hubHome(env), "token");
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trim() || null;
}
