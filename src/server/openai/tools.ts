import { invalidValue, unsupportedParameter } from "../api-error.ts";
import { isRecord } from "../schemas/record.ts";

/**
 * Checks `tools` and `tool_choice`. Calls in a model's output are not parsed yet, so tools are accepted only together
 * with tool_choice "none", which forbids the model to call any; it is then not shown them either.
 */
export function checkTools(tools: readonly unknown[], toolChoice: unknown): void {
  const names = tools.map((tool, index) => toolName(tool, `tools[${index}]`));
  if (new Set(names).size < names.length) throw invalidValue("tools", "Names in 'tools' must be distinct.");
  if (toolChoice === "none") return;
  if (tools.length === 0) {
    if (toolChoice === undefined) return;
    throw invalidValue("tool_choice", "'tool_choice' is only allowed together with 'tools'.");
  }
  checkToolChoice(toolChoice, names);
  const message = "Calling tools is not supported by this server; send tool_choice 'none' or no tools.";
  throw unsupportedParameter("tools", message);
}

function toolName(tool: unknown, path: string): string {
  if (!isRecord(tool) || tool["type"] !== "function" || !isRecord(tool["function"])) {
    throw invalidValue(path, `'${path}' must be an object of type 'function'.`);
  }
  const name = tool["function"]["name"];
  if (typeof name === "string" && name !== "") return name;
  throw invalidValue(`${path}.function.name`, `'${path}.function.name' must be a string.`);
}

function checkToolChoice(toolChoice: unknown, names: readonly string[]): void {
  if (toolChoice === undefined || toolChoice === "auto" || toolChoice === "required") return;
  if (!isRecord(toolChoice)) {
    throw invalidValue("tool_choice", "'tool_choice' must be none, auto, required or name a function.");
  }
  if (toolChoice["type"] === "allowed_tools") return;
  const named = isRecord(toolChoice["function"]) ? toolChoice["function"]["name"] : undefined;
  if (toolChoice["type"] === "function" && typeof named === "string" && names.includes(named)) return;
  throw invalidValue("tool_choice", "'tool_choice' must name a function of 'tools'.");
}
