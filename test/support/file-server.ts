import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";

/** A loopback server that remembers what it was asked. */
export interface FileServer {
  readonly url: string;
  readonly requests: readonly IncomingMessage[];
}

/** Runs until the tests of the file are over. */
export async function startServer(listener: RequestListener): Promise<FileServer> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests };
}

export interface FileAnswer {
  readonly content: Buffer;
  readonly entityTag?: string;
  readonly ignoreRange?: boolean;
  readonly cut?: Cut;
}

/** Sends so much of the body and breaks the connection when the client has it. */
export interface Cut {
  readonly afterBytes: number;
  readonly hasArrived: () => boolean;
}

/** Answers as a well-behaved file server would, ranges and preconditions included, up to the cut. */
export function sendFile(request: IncomingMessage, response: ServerResponse, answer: FileAnswer): void {
  const { content, entityTag, cut } = answer;
  const start = answer.ignoreRange ? 0 : rangeStart(request, entityTag);
  if (entityTag !== undefined) response.setHeader("etag", entityTag);
  response.setHeader("content-length", content.length - start);
  if (start > 0) {
    response.statusCode = 206;
    response.setHeader("content-range", `bytes ${start}-${content.length - 1}/${content.length}`);
  }
  if (cut === undefined) {
    response.end(content.subarray(start));
    return;
  }
  response.write(content.subarray(start, cut.afterBytes));
  whenTrue(cut.hasArrived, () => response.destroy());
}

const POLL_INTERVAL_MS = 2;
const MAX_POLLS = 5000;

/** Calls `action` when `condition` holds, or after ten seconds at last. */
export function whenTrue(condition: () => boolean, action: () => void, numPolls = 0): void {
  if (condition() || numPolls >= MAX_POLLS) action();
  else setTimeout(whenTrue, POLL_INTERVAL_MS, condition, action, numPolls + 1);
}

function rangeStart(request: IncomingMessage, entityTag: string | undefined): number {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const condition = request.headers["if-range"];
  return condition === undefined || condition === entityTag ? start : 0;
}
