import { Command } from "commander";
import { addConfigOptions, readConfig } from "./config-options.ts";

export function createDoctorCommand(setExitCode: (code: number) => void): Command {
  const command = addConfigOptions(new Command("doctor"))
    .summary("show what this machine offers and what a start would use")
    .description(
      "Shows hardware, backends and versions, what headway serve with the same options would use and why, " +
        "and whether it could start: exit code 0 if so, else 1.",
    )
    .option("--json", "print the report as JSON");
  return command.action(async ({ json }: { readonly json?: boolean }) => {
    const { diagnose } = await import("./doctor.ts");
    const { formatReport } = await import("./doctor-report.ts");
    const report = await diagnose(readConfig(command));
    process.stdout.write(`${json ? JSON.stringify(report, null, 2) : formatReport(report)}\n`);
    setExitCode(report.ok ? 0 : 1);
  });
}
