// What the tools share: running a command, and one line that says what it did and how long it took.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const root = dirname(import.meta.dirname);

/** Seconds since `startMs`, for people. */
export function seconds(startMs) {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}

/** Runs to the end with its output held back; `{ ok, output }`. */
export function runQuietly(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 64 * 1024 * 1024, ...options });
  if (result.error !== undefined) return { ok: false, output: result.error.message };
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}` };
}

/** The npm that runs this script, else the one on the path. Extra noise (audit, funding) is switched off. */
export function runNpm(args, options = {}) {
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  const npmScript = process.env.npm_execpath;
  if (npmScript !== undefined && existsSync(npmScript) && npmScript.endsWith(".js")) {
    return runQuietly(process.execPath, [npmScript, ...args, ...quiet], options);
  }
  return runQuietly("npm", [...args, ...quiet], { shell: process.platform === "win32", ...options });
}

/** Path of a tool's script in node_modules, from the `bin` of its package.json. */
export function toolScript(packageName, binName = packageName) {
  const folder = join(root, "node_modules", packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : bin[binName]);
}
