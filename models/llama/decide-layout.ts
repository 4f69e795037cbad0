import { chooseLayout, type LayoutChoice, type LayoutCosts } from "../layout-choice.ts";
import { type MemoryPlan, MemoryPlanError } from "../memory-plan.ts";
import type { MemoryCapabilities } from "../model-info.ts";
import type { KvLayout } from "../../scheduler/contracts.ts";

export interface LayoutRequest {
  readonly wanted: KvLayout | "auto";
  readonly isDeterministic: boolean;
  readonly capabilities: MemoryCapabilities;
  /** Of all prompt tokens, the part that earlier runs found cached; null when nothing is known. */
  readonly sharedPart: number | null;
  /** Every sequence can have `maxModelLen` tokens, where given; throws MemoryPlanError where not one can. */
  readonly plan: (layout: KvLayout, maxModelLen?: number) => MemoryPlan;
  /** Takes a second or two. */
  readonly measure: (plan: MemoryPlan) => LayoutCosts;
}

export interface DecidedLayout extends LayoutChoice {
  readonly plan: MemoryPlan;
  /** Null where they made no difference. */
  readonly costs: LayoutCosts | null;
}

/** Throws MemoryPlanError when no request fits into memory. */
export function decideLayout(request: LayoutRequest): DecidedLayout {
  const { wanted, isDeterministic, plan } = request;
  const given = isDeterministic ? "streams" : wanted;
  if (given === "auto") return decideAuto(request);
  const reason = isDeterministic ? "needed by --deterministic" : "as asked";
  return { layout: given, reason, plan: plan(given), costs: null };
}

/** Streams where they cost nobody anything but memory: same length, same number of rows, and faster by calibration. */
function decideAuto({ capabilities, sharedPart, plan, measure }: LayoutRequest): DecidedLayout {
  const paged = plan("paged");
  const stay = (reason: string): DecidedLayout => ({ layout: "paged", reason, plan: paged, costs: null });
  if (!capabilities.canTrim) return stay("this model's memory cannot be cut");
  if (capabilities.hasSlidingWindow) return stay("a sliding window cannot be copied between streams");
  if (paged.maxNumSeqs === 1) return stay("one row at a time has all cells anyway");
  const { maxModelLen } = paged;
  const streams = tryPlan(() => plan("streams", maxModelLen));
  if (streams === null) return stay(`the memory is too small for slices of ${maxModelLen} tokens`);
  if (streams.maxNumSeqs < paged.maxNumSeqs) {
    const room = `${streams.maxNumSeqs} of ${maxModelLen} tokens`;
    return stay(`a slice for each of ${paged.maxNumSeqs} rows needs more memory, there is room for ${room}`);
  }
  const costs = measure(paged);
  const choice = chooseLayout(costs, sharedPart ?? 0);
  return { ...choice, plan: choice.layout === "paged" ? paged : streams, costs };
}

function tryPlan(plan: () => MemoryPlan): MemoryPlan | null {
  try {
    return plan();
  } catch (error) {
    if (error instanceof MemoryPlanError) return null;
    throw error;
  }
}
