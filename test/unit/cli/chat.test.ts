import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { chat } from "../../../src/cli/chat.ts";
import type { ChatMessage } from "../../../src/cli/chat-client.ts";

interface SeenRequest {
  readonly authorization: string | undefined;
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
}

type Answer = (request: SeenRequest, response: ServerResponse) => void;

async function startServer(t: TestContext, answer: Answer): Promise<{ url: string; seen: SeenRequest[] }> {
  const seen: SeenRequest[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    text(request).then((body) => {
      const parsed = JSON.parse(body) as SeenRequest;
      const seenRequest = { ...parsed, authorization: request.headers.authorization };
      seen.push(seenRequest);
      answer(seenRequest, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function delta(content: string): string {
  return `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
}

/** Says how many messages there were and repeats the last one. */
const echo: Answer = ({ messages }, response) => {
  response.setHeader("content-type", "text/event-stream");
  response.write(`data: ${JSON.stringify({ choices: [{ delta: { role: "assistant", content: "" } }] })}\n\n`);
  response.write(": ping\n\n");
  response.write(delta(`${messages.length}: `));
  response.end(`${delta(messages.at(-1)?.content ?? "")}data: [DONE]\n\n`);
};

async function converse(url: string, lines: readonly string[], apiKey: string | null = null) {
  const output = new PassThrough();
  const notices = new PassThrough();
  const code = await chat(
    { server: { url, apiKey }, model: "toy", system: null, sampling: { temperature: 0 } },
    { input: Readable.from(`${lines.join("\n")}\n`), output, notices, isInteractive: false },
  );
  output.end();
  notices.end();
  return { code, output: await text(output), notices: await text(notices) };
}

test("each line of a pipe is a turn that remembers the turns before it", async (t) => {
  const { url, seen } = await startServer(t, echo);
  const { code, output } = await converse(url, ["hello", "", "and now?"], "secret");
  assert.equal(output, "1: hello\n3: and now?\n");
  assert.equal(code, 0);
  assert.equal(seen[0]?.authorization, "Bearer secret");
  assert.deepEqual(seen[1]?.messages, [
    { role: "user", content: "hello" },
    { role: "assistant", content: "1: hello" },
    { role: "user", content: "and now?" },
  ]);
  assert.equal(seen[1]?.model, "toy");
  assert.equal(seen[1]?.stream, true);
});

test("commands change the conversation and are not sent", async (t) => {
  const { url, seen } = await startServer(t, echo);
  const lines = ["a", "/reset", "b", "/system Be brief.", "c", "/help", "/nothing", "/exit", "d"];
  const { output, notices } = await converse(url, lines);
  assert.equal(output, "1: a\n1: b\n2: c\n");
  assert.deepEqual(seen[2]?.messages[0], { role: "system", content: "Be brief." });
  assert.match(notices, /\/system TEXT/);
  assert.match(notices, /There is no command \/nothing/);
});

test("an error is told in the server's words, and the failed question is not remembered", async (t) => {
  let numRequests = 0;
  const { url, seen } = await startServer(t, (request, response) => {
    if (numRequests++ > 0) return echo(request, response);
    response.statusCode = 429;
    response.end(JSON.stringify({ error: { message: "The queue is full." } }));
  });
  const { code, output, notices } = await converse(url, ["first", "second"]);
  assert.equal(notices, "error: The queue is full.\n");
  assert.equal(output, "1: second\n");
  assert.equal(seen.length, 2);
  assert.equal(code, 1);
});

test("an error inside the stream and a cut connection are errors", async (t) => {
  const inside = await startServer(t, (_, response) => {
    response.end(`${delta("half")}data: ${JSON.stringify({ error: { message: "engine died" } })}\n\n`);
  });
  assert.equal((await converse(inside.url, ["x"])).notices, "error: engine died\n");
  const cut = await startServer(t, (_, response) => response.end(delta("half")));
  assert.match((await converse(cut.url, ["x"])).notices, /closed the connection in the middle/);
});

test("a server that is not there is named", async () => {
  const { code, notices } = await converse("http://127.0.0.1:9", ["x"]);
  assert.match(notices, /^error: no server answers at http:\/\/127\.0\.0\.1:9 \(/);
  assert.equal(code, 1);
});

test("Ctrl-C stops the answer that is running, the next one leaves", async (t) => {
  const { url } = await startServer(t, (_, response) => {
    response.write(delta("endless"));
    response.once("close", () => connection.emit("closed"));
  });
  const connection = new EventEmitter();
  const closed = once(connection, "closed");
  const input = new PassThrough();
  const output = new PassThrough();
  let printed = "";
  output.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
    if (chunk.toString().includes("endless")) input.write("\u0003");
  });
  const ended = chat(
    { server: { url, apiKey: null }, model: "toy", system: null, sampling: {} },
    { input, output, notices: new PassThrough(), isInteractive: true },
  );
  input.write("go on\r");
  await closed;
  input.write("\u0003");
  assert.equal(await ended, 0);
  assert.match(printed, /endless/);
});
