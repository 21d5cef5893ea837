// Makes a clone ready to run: installs when node_modules does not match package-lock.json, builds when a source
// changed since the last build. Runs before start, test and bench; plain JavaScript without dependencies, because it
// runs before there are any. `--force` builds in any case.
//
// Cost when nothing is to do: two lock files are read and the sources are stat'ed, some 20 ms.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { root, runNpm, runQuietly, seconds, toolScript } from "./run-command.mjs";

const sourceFolders = ["src", "test", "bench"];
const buildStamp = join(root, "dist", ".build-stamp");

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function fail(text, output) {
  process.stderr.write(`setup: ${text}\n${output}\n`);
  process.exit(1);
}

function checkNodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`Node 20.19 or newer is needed; this is ${process.versions.node}.`, "");
}

// ---- install ---------------------------------------------------------------------------------------------------

function readLock(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : null;
}

/**
 * npm keeps what it installed in node_modules/.package-lock.json. Each package of our lock must stand there with the
 * same version; packages for other platforms are optional and may be missing.
 */
function isInstalled() {
  const installed = readLock(join(root, "node_modules", ".package-lock.json"));
  if (installed === null) return false;
  const wanted = readLock(join(root, "package-lock.json")) ?? {};
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === "") return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

function install() {
  if (isInstalled()) return false;
  const startMs = performance.now();
  say("installing the dependencies of package-lock.json (npm ci), about a minute the first time");
  // No package needs an install script here: those that have one ship prebuilt binaries as optional packages.
  const result = runNpm(["ci", "--ignore-scripts"]);
  if (!result.ok) fail("npm ci failed", result.output);
  say(`installed in ${seconds(startMs)}`);
  return true;
}

// ---- build -----------------------------------------------------------------------------------------------------

function listFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Changes when a source is added, removed or written. */
function fingerprint() {
  const hash = createHash("sha256");
  const sources = sourceFolders.flatMap((folder) =>
    listFiles(join(root, folder)).filter((path) => path.endsWith(".ts")),
  );
  const inputs = [...sources.toSorted(), join(root, "tsconfig.json"), join(root, "package-lock.json")];
  for (const path of inputs) {
    const { mtimeMs, size } = statSync(path);
    hash.update(`${relative(root, path)}\0${mtimeMs}\0${size}\n`);
  }
  return hash.digest("hex");
}

/** What tsc wrote for a source that is gone would still be found and run by the tests. */
function removeStale() {
  for (const folder of sourceFolders) {
    for (const path of listFiles(join(root, "dist", folder))) {
      const source = join(root, relative(join(root, "dist"), path)).replace(/\.js(\.map)?$/, ".ts");
      if (path !== source && source.endsWith(".ts") && !existsSync(source)) rmSync(path);
    }
  }
}

function build(force) {
  const wanted = fingerprint();
  const isCurrent = existsSync(buildStamp) && readFileSync(buildStamp, "utf8") === wanted;
  if (isCurrent && !force) return false;
  const startMs = performance.now();
  say(`building ${sourceFolders.join(", ")} into dist${sep} (tsc)`);
  const result = runQuietly(process.execPath, [toolScript("typescript", "tsc"), "-p", root]);
  if (!result.ok) fail("the build failed", result.output);
  removeStale();
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(buildStamp, wanted);
  say(`built in ${seconds(startMs)}`);
  return true;
}

checkNodeVersion();
const startMs = performance.now();
const installed = install();
const built = build(process.argv.includes("--force") || installed);
if (!installed && !built) say(`dependencies and build are up to date (${Math.round(performance.now() - startMs)} ms)`);
