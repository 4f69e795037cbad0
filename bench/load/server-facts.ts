import { request } from "undici";

/** What the server says about itself before any load. */
export interface ServerFacts {
  url: string;
  version: string | null;
  model: string;
  models: string[];
}

const PROBE_TIMEOUT_MS = 10_000;
const MAX_MESSAGE_CHARS = 300;

/** Reads `/v1/models` and `/version`; a model that was asked for wins over the first one listed. */
export async function serverFacts(
  url: string,
  key: string | null,
  wantedModel: string | null,
): Promise<ServerFacts> {
  const base = url.replace(/\/+$/, "").replace(/\/v1$/, "");
  const list = await getJson<{ data?: { id?: string }[] }>(`${base}/v1/models`, key);
  const models = (list?.data ?? []).flatMap((model) => model.id ?? []);
  const model = wantedModel ?? models[0];
  if (model === undefined) throw new Error(`${base}/v1/models lists no model: name one with --model`);
  const version = await getJson<{ version?: string }>(`${base}/version`, key).catch(() => null);
  return { url: base, version: version?.version ?? null, model, models };
}

async function getJson<T>(url: string, key: string | null): Promise<T | null> {
  const headers = key === null ? {} : { authorization: `Bearer ${key}` };
  const { statusCode, body } = await request(url, {
    headers,
    headersTimeout: PROBE_TIMEOUT_MS,
    bodyTimeout: PROBE_TIMEOUT_MS,
  });
  if (statusCode === 200) return (await body.json()) as T;
  const text = await body.text();
  // Not every server knows these routes; any other refusal is a reason not to begin.
  if (statusCode === 404) return null;
  throw new Error(`${url} answered ${statusCode}: ${text.slice(0, MAX_MESSAGE_CHARS)}`);
}
