import type { BenchResult } from "../report/bench-result.ts";

import { isMetricName, METRIC_HELP, resultMetric } from "./result-metric.ts";

type Operator = ">" | ">=" | "<" | "<=";

/** A limit: absolute, a multiple of the baseline's value ('1.1x'), or relative to it ('+10%'). */
type Limit = { kind: "absolute"; value: number } | { kind: "ratio"; value: number };

export interface FailCondition {
  text: string;
  metric: string;
  operator: Operator;
  limit: Limit;
}

export const FAIL_IF_HELP =
  "exit with code 3 when a condition holds: 'ttft.p99>1.1x' (times the baseline), 'itl.p99>+10%', " +
  "'errors>0.01' or 'throughput.output<400'; several apart by commas";

const CONDITION = /^\s*([a-z0-9_.]+)\s*(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)\s*(x|%|ms|s)?\s*$/i;

/** Parses `METRIC OPERATOR LIMIT[,…]`; throws RangeError with what is accepted. */
export function parseFailConditions(text: string): FailCondition[] {
  return text.split(",").map(parseCondition);
}

function parseCondition(text: string): FailCondition {
  const match = CONDITION.exec(text);
  const [, metric = "", operator = "", number = "", unit = ""] = match ?? [];
  if (match === null || !isMetricName(metric)) {
    throw new RangeError(
      `not a condition: '${text.trim()}'. A condition is METRIC>LIMIT; metrics are ${METRIC_HELP}`,
    );
  }
  return { text: text.trim(), metric, operator: operator as Operator, limit: limitOf(Number(number), unit) };
}

function limitOf(value: number, unit: string): Limit {
  if (unit === "x") return { kind: "ratio", value };
  if (unit === "%") return { kind: "ratio", value: 1 + value / 100 };
  return { kind: "absolute", value: unit === "s" ? value * 1000 : value };
}

export interface ConditionOutcome {
  condition: FailCondition;
  value: number | null;
  limit: number | null;
  baseline: number | null;
  failed: boolean;
}

/**
 * Judges every condition. A metric that the result or the baseline lacks fails: a gate that cannot
 * measure must not let through.
 */
export function judge(
  conditions: readonly FailCondition[],
  result: BenchResult,
  baseline: BenchResult | null,
): ConditionOutcome[] {
  return conditions.map((condition) => {
    const value = resultMetric(result, condition.metric);
    const baselineValue = baseline === null ? null : resultMetric(baseline, condition.metric);
    const limit = limitValue(condition.limit, baselineValue);
    const failed = value === null || limit === null || holds(value, condition.operator, limit);
    return { condition, value, limit, baseline: baselineValue, failed };
  });
}

function limitValue(limit: Limit, baselineValue: number | null): number | null {
  if (limit.kind === "absolute") return limit.value;
  return baselineValue === null ? null : baselineValue * limit.value;
}

function holds(value: number, operator: Operator, limit: number): boolean {
  switch (operator) {
    case ">":
      return value > limit;
    case ">=":
      return value >= limit;
    case "<":
      return value < limit;
    case "<=":
      return value <= limit;
  }
}

/** One line per condition for people and logs. */
export function outcomeText({ condition, value, limit, baseline, failed }: ConditionOutcome): string {
  const number = (each: number | null): string =>
    each === null ? "not measured" : String(Number(each.toPrecision(5)));
  const against = baseline === null ? "" : `, baseline ${number(baseline)}`;
  return `${failed ? "FAIL" : "ok  "} ${condition.text}: ${number(value)}, limit ${number(limit)}${against}`;
}
