import { createHash } from "node:crypto";

import type { FileServer } from "./file-server.ts";
import { sendFile, startServer } from "./file-server.ts";

export interface FakeHub extends FileServer {
  /** Requests that reached the file storage behind the hub. */
  readonly storage: FileServer;
}

/**
 * A hub with one repository: lists its files with their checksums and redirects downloads to a storage
 * server on another origin, as the real one does. `token` is demanded where it is given.
 */
export async function startFakeHub(
  files: Readonly<Record<string, Buffer>>,
  token?: string,
): Promise<FakeHub> {
  const storage = await startServer((request, response) => {
    const content = files[decodeURIComponent(request.url ?? "").slice(1)];
    if (content === undefined) response.writeHead(404).end();
    else sendFile(request, response, { content, entityTag: '"blob"' });
  });
  const hub = await startServer((request, response) => {
    const path = new URL(request.url ?? "", "http://hub.invalid").pathname;
    const file = /^\/owner\/model\/resolve\/[\w]+\/(.+)$/.exec(path)?.[1];
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`)
      response.writeHead(401).end();
    else if (/^\/api\/models\/owner\/model\/tree\/\w+$/.test(path)) {
      response.setHeader("content-type", "application/json").end(JSON.stringify(listing(files)));
    } else if (file === undefined) response.writeHead(404).end();
    else response.writeHead(302, { location: `${storage.url}/${file}` }).end();
  });
  return { ...hub, storage };
}

function listing(files: Readonly<Record<string, Buffer>>): object[] {
  return Object.entries(files).map(([path, content]) => ({
    type: "file",
    path,
    size: content.length,
    oid: "0",
    lfs: { oid: sha256Of(content), size: content.length, pointerSize: 130 },
  }));
}

export function sha256Of(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
