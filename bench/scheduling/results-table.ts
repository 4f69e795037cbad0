import { formatFigure, verdict } from "./goal.ts";
import { formatCell, type Row, type ScenarioResult } from "./scenario.ts";

/** The results as Markdown: all goals first, then what each side did. */
export function resultsTable(results: readonly ScenarioResult[]): string {
  const goals = results.flatMap(({ name, goals: each }) =>
    each.map((goal) => [
      name,
      goal.claim,
      formatFigure(goal.value),
      `${goal.comparison} ${formatFigure(goal.limit)}`,
      verdict(goal),
    ]),
  );
  return [
    table(["benchmark", "goal", "found", "wanted", ""], goals),
    ...results.map(
      (result) => `**${result.name}**: ${result.purpose}. ${conditions(result)}\n\n${sides(result.rows)}`,
    ),
  ].join("\n\n");
}

function conditions({ model, machine, settings, date }: ScenarioResult): string {
  const quick = settings.isQuick ? " Quick run: the figures mean nothing." : "";
  const load = `load average ${machine.loadAverage.toFixed(1)} before`;
  return `${model.file}, ${machine.cpu}, ${settings.numThreads} threads, ${load}, ${date.slice(0, 16)}Z.${quick}`;
}

function sides(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  return table(
    columns,
    rows.map((row) => columns.map((column) => formatCell(row[column]))),
  );
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}
