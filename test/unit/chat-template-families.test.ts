import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { ChatTemplateInput } from "../../models/text/chat-input.ts";
import { ChatTemplateError } from "../../models/text/chat-template-error.ts";
import { ChatTemplate } from "../../models/text/chat-template.ts";
import { packageFile } from "../../src/cli/package-file.ts";

/** What Jinja2 itself renders; render.py beside the file made it. */
interface Expectations {
  readonly conversations: Record<"plain" | "tools", Omit<ChatTemplateInput, "continueFinalMessage">>;
  readonly families: Record<string, Family>;
}

interface Family {
  readonly templateSha256: string;
  /** null: the template refuses the conversation. */
  readonly plain: string | null;
  readonly toolsSha256: string | null;
  /** Why our engine does not render what Jinja2 does, by conversation. */
  readonly differences?: { readonly plain?: string; readonly tools?: string };
}

const folder = process.env["HEADWAY_TEMPLATES_DIR"];
const { conversations, families } = JSON.parse(
  readFileSync(packageFile("test/unit/chat-template-families/expectations.json"), "utf8"),
) as Expectations;

function render(source: string, name: "plain" | "tools"): string | null {
  try {
    const template = new ChatTemplate({
      source,
      bosToken: "<s>",
      eosToken: "</s>",
      specialTexts: [],
      now: () => new Date(2026, 0, 5, 9, 7, 3),
    });
    const segments = template.render({ ...conversations[name], continueFinalMessage: false }, 100_000);
    return segments.map(({ text }) => text).join("");
  } catch (error) {
    assert.ok(error instanceof ChatTemplateError);
    return null;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

const MIN_FAMILIES = 15;
const skip = folder === undefined ? "HEADWAY_TEMPLATES_DIR names no folder of *.jinja files" : false;

describe("chat templates of real families", { skip }, () => {
  let numCompared = 0;
  after(() => assert.ok(numCompared >= MIN_FAMILIES, `only ${numCompared} of the folder's files are known`));

  for (const [name, family] of Object.entries(families)) {
    const path = join(folder ?? "", `${name}.jinja`);
    const source = existsSync(path) ? readFileSync(path, "utf8") : "";
    const isOther =
      sha256(source) === family.templateSha256 ? false : "the folder has another version, or none";
    if (isOther === false) numCompared += 1;

    it(`${name} renders as Jinja2 does`, { skip: isOther }, () => {
      const plain = render(source, "plain");
      const tools = render(source, "tools");
      const toolsSha256 = tools === null ? null : sha256(tools);
      const { differences = {} } = family;
      assert.equal(plain === family.plain, differences.plain === undefined, plain ?? "refused");
      assert.equal(toolsSha256 === family.toolsSha256, differences.tools === undefined, tools ?? "refused");
    });
  }
});
