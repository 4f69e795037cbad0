import { homedir } from "node:os";
import { join } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where Headway keeps what it downloads. */
export function headwayCacheDir(env: Environment): string {
  if (env["HEADWAY_CACHE"]) return env["HEADWAY_CACHE"];
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "headway");
}

/**
 * Folders in which other programs may have put hub models already, in the order of llama.cpp
 * (common/hf-cache.cpp) and huggingface_hub. They are only read.
 */
export function hubCacheDirs(env: Environment): string[] {
  const candidates = [
    env["LLAMA_CACHE"],
    env["HF_HUB_CACHE"],
    env["HUGGINGFACE_HUB_CACHE"],
    join(hubHome(env), "hub"),
  ];
  return [...new Set(candidates.filter((dir): dir is string => Boolean(dir)))];
}

export function hubHome(env: Environment): string {
  return env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface");
}

export function isOfflineByEnvironment(env: Environment): boolean {
  return [env["HEADWAY_OFFLINE"], env["HF_HUB_OFFLINE"]].some((value) =>
    /^(1|true|yes|on)$/i.test(value ?? ""),
  );
}
