import type { FastifyInstance } from "fastify";
import type { ModelInfo } from "../../../models/model-info.ts";
import { modelNotFound } from "../api-error.ts";
import { requireServable } from "../servable.ts";
import type { ServerContext } from "../server-context.ts";

const tags = ["Models"];

/** What is served. 503 until it is: probes and routers take a 200 here for readiness. */
export function registerModelRoutes(app: FastifyInstance, { dependencies }: ServerContext): void {
  const { engine, config, text } = dependencies;
  const created = Math.floor(Date.now() / 1000);
  const card = () =>
    modelCard(requireServable(engine), {
      id: config.servedModelName,
      created,
      vocabSize: text.vocabulary.pieces.length,
    });

  app.get("/v1/models", { schema: { tags, summary: "List the models" } }, () => ({
    object: "list",
    data: [card()],
  }));
  // A wildcard, since the id may hold slashes.
  app.get<{ Params: { "*": string } }>(
    "/v1/models/*",
    { schema: { tags, summary: "Show a model" } },
    (request) => {
      const shown = card();
      const id = request.params["*"];
      if (id !== shown.id) throw modelNotFound(id);
      return shown;
    },
  );
}

interface CardFacts {
  readonly id: string;
  readonly created: number;
  readonly vocabSize: number;
}

function modelCard(model: ModelInfo, { id, created, vocabSize }: CardFacts) {
  return {
    id,
    object: "model",
    created,
    owned_by: "headway",
    root: id,
    parent: null,
    max_model_len: model.maxModelLen,
    permission: [],
    aliases: [],
    tags: [],
    meta: {
      n_vocab: vocabSize,
      n_ctx: model.maxModelLen,
      n_ctx_train: model.trainedContextLength,
      n_embd: model.embeddingLength,
      n_params: model.numParameters,
      size: model.sizeBytes,
      ftype: model.description,
    },
  };
}
