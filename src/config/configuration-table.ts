import { environmentName, optionGroups } from "./option.ts";
import { optionEntries } from "./options.ts";

/** The table of docs/configuration.md, one part for each heading. */
export function configurationTable(): string {
  return optionGroups.map((group) => `### ${group}\n\n${groupTable(group)}`).join("\n\n");
}

function groupTable(group: string): string {
  const rows = optionEntries
    .map(([, option]) => option)
    .filter((option) => option.group === group)
    .map((option) => {
      const value = option.type.placeholder === "" ? "" : ` <${option.type.placeholder}>`;
      const cells = [
        `\`--${option.flag}${value}\``,
        `\`${environmentName(option)}\``,
        option.defaultText,
        option.description,
      ];
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    });
  return ["| flag | environment | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
}
