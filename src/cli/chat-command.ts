import { Command, InvalidArgumentError } from "commander";
import { loadConfig } from "../config/load-config.ts";
import type { Config } from "../config/options.ts";
import { chat } from "./chat.ts";
import { listModelIds, type ChatSampling, type ChatServer } from "./chat-client.ts";

interface ChatFlags {
  readonly url?: string;
  readonly model?: string;
  readonly key?: string;
  readonly system?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** A server to talk to and how to leave it: a server of our own is closed. */
interface Partner {
  readonly server: ChatServer;
  readonly model: string;
  close(): Promise<void>;
}

const probeTimeoutMs = 1000;

export function createChatCommand(setExitCode: (code: number) => void): Command {
  return new Command("chat")
    .summary("chat in the terminal, with a running server or its own")
    .description(
      "Chats in the terminal: with the server at --url, else with one that listens on this machine, " +
        "else with one it starts for itself. Lines from a pipe are answered one by one.",
    )
    .option("--url <url>", "server to talk to, Headway or any other with OpenAI's API")
    .option("--model <name|path|url>", "model to talk to; see headway serve --help")
    .option("--key <key>", "API key of the server (default: the first of HEADWAY_API_KEY)")
    .option("--system <text>", "system message to begin with")
    .option("--temperature <number>", "sampling temperature (default: the server's)", toNumber)
    .option("--max-tokens <number>", "longest answer (default: the server's)", toNumber)
    .action(async (flags: ChatFlags) => setExitCode(await runChat(flags)));
}

async function runChat(flags: ChatFlags): Promise<number> {
  const partner = await findPartner(flags);
  const isInteractive = process.stdin.isTTY && process.stdout.isTTY;
  if (isInteractive) notice(`Chatting with ${partner.model} at ${partner.server.url}; /help lists commands.`);
  try {
    return await chat(
      {
        server: partner.server,
        model: partner.model,
        system: flags.system ?? null,
        sampling: samplingOf(flags),
      },
      { input: process.stdin, output: process.stdout, notices: process.stderr, isInteractive },
    );
  } finally {
    await partner.close();
  }
}

async function findPartner(flags: ChatFlags): Promise<Partner> {
  const config = loadConfig({ flags: { model: flags.model } });
  const apiKey = flags.key ?? config.apiKeys[0] ?? null;
  if (flags.url !== undefined) return remotePartner({ url: flags.url, apiKey }, flags.model);
  const local = { url: `http://${config.host}:${config.port}`, apiKey };
  return (await localPartner(local, flags.model)) ?? startPartner(config);
}

async function remotePartner(server: ChatServer, model: string | undefined): Promise<Partner> {
  const [first] = model === undefined ? await listModelIds(server) : [model];
  return { server, model: first ?? "default", async close() {} };
}

/** The server that listens where ours would, if it has the model asked for. */
async function localPartner(server: ChatServer, model: string | undefined): Promise<Partner | null> {
  const modelIds = await listModelIds(server, AbortSignal.timeout(probeTimeoutMs)).catch(() => []);
  const found = modelIds.find((id) => model === undefined || id === model);
  return found === undefined ? null : { server, model: found, async close() {} };
}

async function startPartner(config: Config): Promise<Partner> {
  notice("No server is running here; starting one for this chat.");
  const { serve } = await import("../serve.ts");
  const own: Config = { ...config, host: "127.0.0.1", port: 0, logLevel: "silent" };
  const running = await serve(own, { print: notice });
  return {
    server: { url: running.url, apiKey: own.apiKeys[0] ?? null },
    model: running.model.id,
    close: () => running.close(0),
  };
}

function samplingOf({ temperature, maxTokens }: ChatFlags): ChatSampling {
  return { ...(temperature !== undefined && { temperature }), ...(maxTokens !== undefined && { maxTokens }) };
}

function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}

function notice(line: string): void {
  process.stderr.write(`${line}\n`);
}
