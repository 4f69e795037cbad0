/* A process that streams tokens as fast as it is told to: the counterpart of bench/overhead.ts. */
import type { AddressInfo } from "node:net";

import http from "node:http";

const STEP_MS = 4;
const tokensPerSecond = Number(process.argv[2]);
const TOKEN =
  'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n';
const END =
  'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}\n\n';

interface Stream {
  response: http.ServerResponse;
  numLeft: number;
}

const streams = new Set<Stream>();
let nextStream: Stream[] = [];
let owed = 0;
let lastMs = performance.now();

/** Hands out the tokens due since the last step, one chunk a stream in turn, like an engine's steps. */
function step(): void {
  const nowMs = performance.now();
  owed = Math.min(owed + ((nowMs - lastMs) / 1000) * tokensPerSecond, tokensPerSecond / 10);
  lastMs = nowMs;
  while (owed >= 1 && streams.size > 0) {
    if (nextStream.length === 0) nextStream = [...streams];
    const stream = nextStream.pop() as Stream;
    if (streams.has(stream)) send(stream);
    owed--;
  }
}

function send(stream: Stream): void {
  stream.response.write(TOKEN);
  stream.numLeft--;
  if (stream.numLeft > 0) return;
  streams.delete(stream);
  stream.response.end(`${END}data: [DONE]\n\n`);
}

const server = http.createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    if (request.method !== "POST") return void response.writeHead(404).end();
    const { max_tokens: numLeft } = JSON.parse(Buffer.concat(parts).toString()) as { max_tokens: number };
    response.writeHead(200, { "content-type": "text/event-stream" });
    const stream = { response, numLeft };
    streams.add(stream);
    response.on("close", () => streams.delete(stream));
  });
});

server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
setInterval(step, STEP_MS);
process.on("disconnect", () => process.exit(0));
