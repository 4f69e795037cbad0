import type { ChildProcess } from "node:child_process";

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

/** What every server of a comparison gets: the same model, threads, context and parallel sequences. */
export interface PeerSettings {
  modelPath: string;
  threads: number;
  /** Tokens each sequence may use, prompt and output together. */
  contextPerSequence: number;
  numSequences: number;
}

/** A way to start one server. Only one runs at a time. */
export interface Peer {
  name: string;
  /** What is being measured, to the build: goes into the result. */
  version(): Promise<string>;
  command(settings: PeerSettings, port: number): { file: string; arguments: string[] };
}

export interface RunningPeer {
  url: string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 200;

/** Starts a peer on a free port and waits until it lists its model. */
export async function startPeer(peer: Peer, settings: PeerSettings): Promise<RunningPeer> {
  const port = await freePort();
  const { file, arguments: args } = peer.command(settings, port);
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
  // Whatever ends this process must not leave a server behind that slows the next measurement.
  const killNow = () => child.kill("SIGKILL");
  process.once("exit", killNow);
  child.once("exit", () => process.off("exit", killNow));
  const lastWords = collectTail(child);
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, child);
  } catch (error) {
    await stop(child);
    throw new Error(`${peer.name}: ${(error as Error).message}\n${lastWords()}`, { cause: error });
  }
  return { url, stop: () => stop(child) };
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  let spawnError: Error | null = null;
  child.once("error", (error) => (spawnError = error));
  while (performance.now() < deadlineMs) {
    if (spawnError !== null) throw spawnError as Error;
    if (child.exitCode !== null) throw new Error(`ended with code ${child.exitCode} before it was ready`);
    // A server that still loads answers 503, or nobody listens yet.
    const response = await fetch(`${url}/health`).catch(() => null);
    await response?.arrayBuffer();
    if (response?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error("was not ready in time");
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}

/** Keeps the end of what a server said, for the message when it does not start. */
function collectTail(child: ChildProcess): () => string {
  let tail = "";
  child.stderr?.on("data", (bytes: Buffer) => (tail = (tail + bytes.toString()).slice(-2000)));
  return () => tail;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
