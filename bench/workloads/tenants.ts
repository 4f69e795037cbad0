import type { Session } from "../load/request.ts";
import type { WeightedTenant, WorkloadOptions } from "./workload-options.ts";

import { deriveSeed, seededRandom } from "../seeded-random.ts";

export const TENANT_HELP = "'NAME[:WEIGHT[:KEY]]'; a KEY of the form $VARIABLE is read from the environment";

/** One tenant that asks for much and three that ask for little: does the first starve the others? */
export const DEFAULT_TENANTS: readonly WeightedTenant[] = [
  { name: "heavy", weight: 7, key: null },
  { name: "light-1", weight: 1, key: null },
  { name: "light-2", weight: 1, key: null },
  { name: "light-3", weight: 1, key: null },
];

export function parseTenant(text: string, environment: NodeJS.ProcessEnv): WeightedTenant {
  const [name = "", weight = "1", ...rest] = text.split(":");
  if (name === "" || !(Number(weight) > 0))
    throw new RangeError(`not a tenant: '${text}', expected ${TENANT_HELP}`);
  const key = rest.length === 0 ? null : rest.join(":");
  if (key?.startsWith("$") !== true) return { name, weight: Number(weight), key };
  const value = environment[key.slice(1)];
  if (value === undefined) throw new RangeError(`tenant '${name}': the environment has no ${key.slice(1)}`);
  return { name, weight: Number(weight), key: value };
}

/** Gives every session without a tenant one, drawn by weight. */
export function* assignTenants(
  sessions: Iterable<Session>,
  { tenants, seed }: WorkloadOptions,
): Generator<Session> {
  const random = seededRandom(deriveSeed(seed, "tenants"));
  for (const session of sessions) {
    const tenant = tenants.length === 0 ? null : pickByWeight(tenants, random());
    yield { ...session, turns: session.turns.map((turn) => ({ ...turn, tenant: turn.tenant ?? tenant })) };
  }
}

function pickByWeight(tenants: readonly WeightedTenant[], uniform: number): WeightedTenant {
  let rest = uniform * tenants.reduce((sum, tenant) => sum + tenant.weight, 0);
  for (const tenant of tenants) {
    rest -= tenant.weight;
    if (rest < 0) return tenant;
  }
  return tenants.at(-1) as WeightedTenant;
}
