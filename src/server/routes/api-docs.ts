import swagger from "@fastify/swagger";
import fastify from "fastify";
import type { FastifyInstance } from "fastify";
import { ApiError } from "../api-error.ts";

const documentPath = "/openapi.json";

/** The OpenAPI document, and a page that shows it. Nothing on the page comes from another server. */
export async function registerApiDocs(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Headway", version, description: "An OpenAI-compatible text-generation server." },
      components: { securitySchemes: { apiKey: { type: "http", scheme: "bearer" } } },
      security: [{ apiKey: [] }],
    },
    transform: ({ schema, url, route }) => ({
      schema: route.config?.isPublic === true ? { ...schema, security: [] } : schema,
      // The route takes the rest of the path, as ids may hold slashes.
      url: url.replace("/*", "/:id"),
    }),
  });
  const open = { isPublic: true };
  app.get(documentPath, { config: open, schema: { hide: true } }, () => app.swagger());

  let viewer: Promise<FastifyInstance> | null = null;
  for (const path of ["/docs", "/docs/*"]) {
    app.get(path, { config: open, schema: { hide: true } }, async (request, reply) => {
      const page = await (await (viewer ??= createViewer())).inject({ url: request.url });
      if (page.statusCode === 404) throw pageNotFound();
      return reply.code(page.statusCode).headers(page.headers).send(page.rawPayload);
    });
  }
}

function pageNotFound(): ApiError {
  return new ApiError("There is no such page.", { status: 404, code: "not_found" });
}

/** An app of its own, made for the first visitor: its script is 5 MB, which few servers ever show to anyone. */
async function createViewer(): Promise<FastifyInstance> {
  const { default: apiReference } = await import("@scalar/fastify-api-reference");
  const viewer = fastify();
  await viewer.register(apiReference, {
    routePrefix: "/docs",
    configuration: {
      pageTitle: "Headway API",
      url: documentPath,
      withDefaultFonts: false,
      telemetry: false,
      // They lead to services of another company.
      showDeveloperTools: "never",
      agent: { disabled: true },
    },
  });
  return viewer;
}
