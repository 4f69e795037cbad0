import type { CompletionService } from "./completion-service.ts";
import type { AppDependencies } from "./dependencies.ts";

/** What routes are made of. */
export interface ServerContext {
  readonly dependencies: AppDependencies;
  readonly completions: CompletionService;
}

declare module "fastify" {
  interface FastifyRequest {
    /** The caller's tenant, "" when no keys are set. */
    tenantId: string;
  }
  interface FastifyContextConfig {
    /** Answers without a key. */
    isPublic?: boolean;
  }
}
