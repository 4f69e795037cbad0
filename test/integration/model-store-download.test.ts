import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { IncomingMessage, RequestListener } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";

import type { DownloadRequest } from "../../models/store/download.ts";
import { downloadFile } from "../../models/store/download.ts";
import { createHttpClient } from "../../models/store/http-client.ts";
import type { ModelStoreErrorCode } from "../../models/store/model-store-error.ts";
import type { StoreContext } from "../../models/store/store-context.ts";
import { sendFile, startServer, whenTrue } from "../support/file-server.ts";
import { QUICK_TIMING } from "../support/model-machine.ts";
import { RecordingProgress } from "../support/recording-progress.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const dir = temporaryFolder();
const content = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(300_000, "weights ")]);
const sha256 = createHash("sha256").update(content).digest("hex");
const progress = new RecordingProgress();
let numTargets = 0;

function context(signal = new AbortController().signal, timing = QUICK_TIMING): StoreContext {
  const http = createHttpClient({ timing, env: {} });
  return { cacheDir: dir, env: {}, http, progress, signal, timing };
}

function request(url: string, changes: Partial<DownloadRequest> = {}): DownloadRequest {
  numTargets += 1;
  const target = join(dir, `${numTargets}.gguf`);
  return { url, headers: {}, target, label: "model.gguf", sizeBytes: null, sha256: null, ...changes };
}

async function download(
  listener: RequestListener,
  changes: Partial<DownloadRequest> = {},
): Promise<{ target: string; requests: readonly IncomingMessage[] }> {
  const server = await startServer(listener);
  const wanted = request(`${server.url}/model.gguf`, changes);
  await downloadFile(wanted, context());
  return { target: wanted.target, requests: server.requests };
}

/** Whether so many bytes of the newest download are on the disk. */
function hasArrived(numBytes: number): boolean {
  const partial = join(dir, `${numTargets}.gguf.partial`);
  return existsSync(partial) && statSync(partial).size >= numBytes;
}

/** Cuts the connection at the given places of the file, then serves the rest. */
function cutting(
  cuts: number[],
  options: { entityTag?: string; ignoreRange?: boolean } = {},
): RequestListener {
  return (incoming, response) => {
    const afterBytes = cuts.shift();
    const cut =
      afterBytes === undefined ? {} : { cut: { afterBytes, hasArrived: () => hasArrived(afterBytes) } };
    sendFile(incoming, response, { content, ...options, ...cut });
  };
}

const sendWhole: RequestListener = (incoming, response) => sendFile(incoming, response, { content });

describe("downloading a model file", () => {
  test("fetches, checks and reports", async () => {
    const { target } = await download(sendWhole, {
      sha256,
      sizeBytes: content.length,
    });
    assert.deepEqual(readFileSync(target), content);
    const last = progress.updates.at(-1);
    assert.deepEqual(
      [last?.receivedBytes, last?.totalBytes, last?.isComplete],
      [content.length, content.length, true],
    );
    assert.ok(!existsSync(`${target}.partial`));
  });

  test("takes a file of which nobody tells the size", async () => {
    const { target } = await download((_, response) => {
      response.write(content.subarray(0, 1000));
      response.end(content.subarray(1000));
    });
    assert.deepEqual(readFileSync(target), content);
  });

  test("goes on where the connection broke", async () => {
    const { target, requests } = await download(cutting([100_000, 150_000], { entityTag: '"v1"' }));
    assert.deepEqual(readFileSync(target), content);
    assert.equal(requests.length, 3);
    const [first, second] = requests;
    assert.equal(first?.headers.range, undefined);
    assert.equal(second?.headers.range, "bytes=100000-");
    assert.equal(second?.headers["if-range"], '"v1"');
  });

  test("goes on by the checksum alone where the server gives no tag", async () => {
    const { target, requests } = await download(cutting([100_000]), { sha256 });
    assert.deepEqual(readFileSync(target), content);
    assert.match(requests[1]?.headers.range ?? "", /^bytes=/);
  });

  test("starts anew without tag and checksum, with a weak tag, or without ranges", async () => {
    const untagged = await download(cutting([100_000]));
    assert.equal(untagged.requests[1]?.headers.range, undefined);
    const weak = await download(cutting([100_000], { entityTag: 'W/"v1"' }));
    assert.equal(weak.requests[1]?.headers.range, undefined);
    const rangeless = await download(cutting([100_000], { entityTag: '"v1"', ignoreRange: true }));
    assert.equal(rangeless.requests[1]?.headers.range, "bytes=100000-");
    for (const { target } of [untagged, weak, rangeless]) assert.deepEqual(readFileSync(target), content);
  });

  test("goes on with what an earlier process left", async () => {
    const server = await startServer((incoming, response) =>
      sendFile(incoming, response, { content, entityTag: '"v1"' }),
    );
    const wanted = request(server.url);
    writeFileSync(`${wanted.target}.partial`, content.subarray(0, 200_000));
    writeFileSync(`${wanted.target}.partial.etag`, '"v1"');
    await downloadFile(wanted, context());
    assert.equal(server.requests[0]?.headers.range, "bytes=200000-");
    assert.deepEqual(readFileSync(wanted.target), content);
  });

  test("does not mix two versions of a file", async () => {
    const server = await startServer((incoming, response) =>
      sendFile(incoming, response, { content, entityTag: '"v2"' }),
    );
    const wanted = request(server.url);
    writeFileSync(`${wanted.target}.partial`, Buffer.alloc(200_000, "old "));
    writeFileSync(`${wanted.target}.partial.etag`, '"v1"');
    await downloadFile(wanted, context());
    assert.deepEqual(readFileSync(wanted.target), content);
  });

  test("asks for nothing more when all bytes are there already", async () => {
    const server = await startServer(answerStatus(500));
    const wanted = request(server.url, { sizeBytes: content.length, sha256 });
    writeFileSync(`${wanted.target}.partial`, content);
    writeFileSync(`${wanted.target}.partial.etag`, "");
    await downloadFile(wanted, context());
    assert.equal(server.requests.length, 0);
  });

  test("recovers from a refused range and from busy servers", async () => {
    const statuses = [416, 503, 429];
    const { target } = await download((incoming, response) => {
      const status = statuses.shift();
      if (status === undefined) sendFile(incoming, response, { content });
      else response.writeHead(status).end();
    });
    assert.deepEqual(readFileSync(target), content);
  });

  test("leaves what came when it is cancelled, so that it can go on", async () => {
    const controller = new AbortController();
    const server = await startServer((_, response) => {
      response.writeHead(200, { "content-length": content.length, etag: '"v1"' });
      response.write(content.subarray(0, 100_000));
      whenTrue(
        () => hasArrived(100_000),
        () => controller.abort(),
      );
    });
    const wanted = request(server.url);
    await assert.rejects(downloadFile(wanted, context(controller.signal)), { code: "aborted" });
    assert.equal(statSync(`${wanted.target}.partial`).size, 100_000);
    assert.ok(!existsSync(wanted.target));
  });
});

function redirectTo(location: string): RequestListener {
  return (_, response) => response.writeHead(302, { location }).end();
}

function answerStatus(status: number): RequestListener {
  return (_, response) => response.writeHead(status).end();
}

const sendWrongRange: RequestListener = (incoming, response) => {
  if (incoming.headers.range === undefined) return cutting([1000], { entityTag: '"a"' })(incoming, response);
  return response.writeHead(206, { "content-range": `bytes 5-9/${content.length}` }).end("GGUF!");
};

describe("redirects", () => {
  test("are followed, but never with the token to another host", async () => {
    const storage = await startServer(sendWhole);
    const hub = await startServer((incoming, response) => {
      const location = incoming.url === "/first" ? "/second" : `${storage.url}/blob`;
      response.writeHead(302, { location }).end();
    });
    const wanted = request(`${hub.url}/first`, { headers: { authorization: "Bearer secret" } });
    await downloadFile(wanted, context());
    assert.deepEqual(
      hub.requests.map(({ headers }) => headers.authorization),
      ["Bearer secret", "Bearer secret"],
    );
    assert.equal(storage.requests[0]?.headers.authorization, undefined);
  });

  for (const [what, location] of [
    ["in a circle", "/again"],
    ["to a file of this machine", "file:///etc/passwd"],
    ["to nowhere", "http://"],
  ] as const) {
    test(`${what} are refused`, async () => {
      await assert.rejects(download(redirectTo(location)), { name: "ModelStoreError", code: "bad-redirect" });
    });
  }
});

describe("downloads that are refused", () => {
  const web = Buffer.from("<html>please log in</html>");
  const refusals: [string, RequestListener, Partial<DownloadRequest>, ModelStoreErrorCode][] = [
    ["a file of another size than known", sendWhole, { sizeBytes: 7 }, "size-mismatch"],
    ["a file with another checksum", sendWhole, { sha256: "0".repeat(64) }, "checksum-mismatch"],
    ["a web page", (incoming, response) => sendFile(incoming, response, { content: web }), {}, "not-gguf"],
    ["an empty file", (_, response) => response.end(), {}, "not-gguf"],
    [
      "more bytes than announced",
      (_, response) => response.end(content),
      { sizeBytes: content.length - 1 },
      "size-mismatch",
    ],
    ["a missing file", answerStatus(404), {}, "not-found"],
    ["a gated file", answerStatus(403), {}, "not-authorized"],
    ["a server that refuses", answerStatus(400), {}, "http-status"],
    ["a server that always breaks off", (_, response) => response.destroy(), {}, "interrupted"],
    [
      "a file larger than the disk",
      (_, response) => response.writeHead(200, { "content-length": 2 ** 52 }).flushHeaders(),
      {},
      "disk-full",
    ],
  ];
  for (const [what, listener, changes, code] of refusals) {
    test(what, async () => {
      await assert.rejects(download(listener, changes), { name: "ModelStoreError", code });
      assert.ok(!existsSync(join(dir, `${numTargets}.gguf`)), "no file may appear");
    });
  }

  test("a server that sends more than it announced in pieces", async () => {
    const listener: RequestListener = (_, response) => {
      response.write(content);
      response.end("and more");
    };
    await assert.rejects(download(listener, { sizeBytes: content.length }), { code: "size-mismatch" });
  });

  test("a range that was not asked for", async () => {
    await assert.rejects(download(sendWrongRange), { code: "interrupted" });
  });

  test("a host that does not exist or does not answer", async () => {
    const unused = await startServer(() => undefined);
    const closed = unused.url.replace(/\d+$/, "1");
    await assert.rejects(downloadFile(request(closed), context()), { code: "unreachable" });
    await assert.rejects(downloadFile(request("http://nowhere.invalid/x"), context()), {
      code: "unreachable",
    });
  });

  test("a server that takes requests and never answers", async () => {
    const silent = await startServer(() => undefined);
    const timing = { ...QUICK_TIMING, answerTimeoutMs: 50 };
    await assert.rejects(downloadFile(request(silent.url), context(undefined, timing)), {
      code: "unreachable",
    });
  });

  test("a server that stops in the middle and never goes on", async () => {
    const stalling = await startServer((_, response) => {
      response.writeHead(200, { "content-length": content.length, etag: '"a"' });
      response.write(content.subarray(0, 1000));
    });
    const timing = { ...QUICK_TIMING, stallTimeoutMs: 50 };
    await assert.rejects(downloadFile(request(stalling.url), context(undefined, timing)), {
      code: "interrupted",
    });
    assert.ok(hasArrived(1000), "what came is kept");
  });

  test("and damaged bytes are not kept", async () => {
    const before = readdirSync(dir).filter((name) => name.includes("partial")).length;
    await assert.rejects(download(sendWhole, { sha256: "1".repeat(64) }), { code: "checksum-mismatch" });
    assert.equal(readdirSync(dir).filter((name) => name.includes("partial")).length, before);
  });
});
