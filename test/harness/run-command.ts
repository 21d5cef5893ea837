import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const builtMainFile = fileURLToPath(new URL("../../src/main/main.cjs", import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  /** Both streams. */
  readonly output: string;
}

/** `miniodb <parameters>` to its end, with this environment beside the test's own. */
export function runCommand(
  parameters: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [builtMainFile, ...parameters], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const keep = (chunk: Buffer): void => {
      output += chunk.toString("utf8");
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}
