// What the tools share: running a command, and one line that says what it did and how long it took.
import { spawn, spawnSync } from "node:child_process";
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

/** The same beside other work: a promise of `{ ok, output }`. */
export function runBeside(command, args, options = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk) => {
      output += chunk;
    });
  }
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ ok: false, output: error.message }));
    child.once("close", (code) => resolve({ ok: code === 0, output }));
  });
}

/** The npm that runs this script, else the one on the path. Extra noise (audit, funding) is switched off. */
export function runNpm(args, options = {}) {
  const npm = npmCommand(args);
  return runQuietly(npm.command, npm.args, { ...npm.options, ...options });
}

/** The same beside other work. */
export function runNpmBeside(args, options = {}) {
  const npm = npmCommand(args);
  return runBeside(npm.command, npm.args, { ...npm.options, ...options });
}

function npmCommand(args) {
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  const npmScript = process.env.npm_execpath;
  if (npmScript !== undefined && existsSync(npmScript) && npmScript.endsWith(".js")) {
    return { command: process.execPath, args: [npmScript, ...args, ...quiet], options: {} };
  }
  return { command: "npm", args: [...args, ...quiet], options: { shell: process.platform === "win32" } };
}

/** Path of a tool's script in node_modules, from the `bin` of its package.json. */
export function toolScript(packageName, binName = packageName) {
  const folder = join(root, "node_modules", packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : bin[binName]);
}
