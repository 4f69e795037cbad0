import { createHash } from "node:crypto";
import { Counter } from "prom-client";
import type { Registry } from "prom-client";
import type { FinishedRequest } from "../engine/observer.ts";

const MAX_TENANTS = 50;

/** Labels may not grow without bound, nor tell a key: the first tenants get a short digest, the others share a name. */
export class TenantNames {
  readonly #names = new Map<string, string>();

  nameOf(tenantId: string): string {
    const known = this.#names.get(tenantId);
    if (known !== undefined) return known;
    if (this.#names.size >= MAX_TENANTS) return "other";
    const name = tenantName(tenantId);
    this.#names.set(tenantId, name);
    return name;
  }
}

/** How a tenant is shown to operators; "" is that of all who did not say who they are. */
export function tenantName(tenantId: string): string {
  if (tenantId === "") return "default";
  return createHash("sha256").update(tenantId).digest("hex").slice(0, 8);
}

/** Who got how much, and whether deadlines were kept. */
export class TenantMetrics {
  readonly #names = new TenantNames();
  readonly #tokens: Counter<"tenant" | "kind">;
  readonly #attainment: Counter<"met">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#tokens = new Counter({
      name: "headway_tokens_total",
      help: "Tokens of finished requests by tenant (a digest of the key or user) and kind",
      labelNames: ["tenant", "kind"],
      registers,
    });
    this.#attainment = new Counter({
      name: "headway_deadline_attainment_total",
      help: "Accepted requests with a deadline, by whether they kept it",
      labelNames: ["met"],
      registers,
    });
    for (const met of ["true", "false"]) this.#attainment.inc({ met }, 0);
  }

  onFinished(request: FinishedRequest): void {
    const { metTargets, numPromptTokens, numGeneratedTokens, ttftMs } = request;
    if (metTargets !== null) this.#attainment.inc({ met: String(metTargets) });
    if (ttftMs === null) return;
    const tenant = this.#names.nameOf(request.tenantId);
    this.#tokens.inc({ tenant, kind: "input" }, numPromptTokens);
    this.#tokens.inc({ tenant, kind: "output" }, numGeneratedTokens);
  }
}
