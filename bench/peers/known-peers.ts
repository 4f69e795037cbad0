import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { packageFile } from "../../src/cli/package-file.ts";
import type { Peer, PeerSettings } from "./peer.ts";

const run = promisify(execFile);

/**
 * The servers that can be compared on one GGUF file. Programs that are not part of Headway are found
 * through the environment: LLAMA_SERVER (path of the binary) and NODE_LLAMA_CPP (folder of the package).
 * HEADWAY names the launcher of another checkout, to compare two versions.
 */
export function knownPeers(environment: NodeJS.ProcessEnv): Map<string, Peer> {
  const llamaServer = environment["LLAMA_SERVER"] ?? "llama-server";
  const nodeLlamaCpp = environment["NODE_LLAMA_CPP"] ?? packageFile("node_modules/node-llama-cpp");
  const peers = [
    headwayPeer(environment["HEADWAY"] ?? packageFile("bin/headway.mjs")),
    llamaServerPeer({ name: "llama-server", file: llamaServer, extra: [] }),
    llamaServerPeer({ name: "llama-server-b256", file: llamaServer, extra: ["-b", "256", "-ub", "256"] }),
    llamaServerPeer({ name: "llama-server-unified", file: llamaServer, extra: ["-kvu"] }),
    nodeLlamaCppPeer(nodeLlamaCpp),
  ];
  return new Map(peers.map((peer) => [peer.name, peer]));
}

function flags(values: Record<string, string | number>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [name, String(value)]);
}

function headwayPeer(launcher: string): Peer {
  return {
    name: "headway",
    version: async () => {
      const { stdout } = await run(process.execPath, [launcher, "--version"]);
      return `${stdout.trim()}${await commitOf(dirname(launcher))}`;
    },
    command: ({ modelPath, threads, contextPerSequence, numSequences }, port) => ({
      file: process.execPath,
      arguments: [
        launcher,
        "serve",
        ...flags({
          "--model": modelPath,
          "--port": port,
          "--backend": "cpu",
          "--threads": threads,
          "--max-num-seqs": numSequences,
          "--max-model-len": contextPerSequence,
          "--log-level": "error",
          // Prompts come from a seed: a prefix kept on disk would be found by the next run.
          "--kv-disk": 0,
        }),
      ],
    }),
  };
}

/** Two builds of one version differ by it; a package has none. */
async function commitOf(folder: string): Promise<string> {
  try {
    const { stdout } = await run("git", ["-C", folder, "rev-parse", "--short=10", "HEAD"]);
    return ` (commit ${stdout.trim()})`;
  } catch {
    return "";
  }
}

/** llama-server as shipped (its scheduling defaults), or with other batch sizes or one unified cache. */
function llamaServerPeer({
  name,
  file,
  extra,
}: {
  name: string;
  file: string;
  extra: readonly string[];
}): Peer {
  return {
    name,
    version: async () => {
      const { stdout, stderr } = await run(file, ["--version"]);
      return (stderr + stdout).trim().split("\n").slice(-2).join(", ");
    },
    command: (settings, port) => ({ file, arguments: [...llamaServerArguments(settings, port), ...extra] }),
  };
}

function llamaServerArguments(settings: PeerSettings, port: number): string[] {
  const { modelPath, threads, contextPerSequence, numSequences } = settings;
  return flags({
    "-m": modelPath,
    // Else the model is called by its path, which would enter the results.
    "--alias": basename(modelPath),
    "--host": "127.0.0.1",
    "--port": port,
    "-t": threads,
    "-tb": threads,
    "-np": numSequences,
    // Its -c is the total of all slots.
    "-c": contextPerSequence * numSequences,
    "-ngl": 0,
  });
}

function nodeLlamaCppPeer(folder: string): Peer {
  return {
    name: "node-llama-cpp",
    version: async () => {
      const path = join(folder, "package.json");
      if (!existsSync(path)) throw new Error("node-llama-cpp is not there: set NODE_LLAMA_CPP to its folder");
      return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
    },
    command: ({ modelPath, threads, contextPerSequence, numSequences }, port) => ({
      file: process.execPath,
      arguments: [
        fileURLToPath(new URL("node-llama-cpp-server.js", import.meta.url)),
        folder,
        modelPath,
        ...[port, threads, contextPerSequence, numSequences].map(String),
      ],
    }),
  };
}
