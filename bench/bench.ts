/**
 * Runs the suites one after another and writes their table into bench/README.md.
 *
 *   npm run bench                         all of it, about 30 minutes; writes the table
 *   npm run bench -- --quick              short runs of the write path, under 2 minutes; writes the quick table
 *   npm run bench -- --only ndjson,arrow  these suites; prints only
 *   npm run bench -- --only queries       this suite and those whose names begin with `queries-`
 */
import { readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { repositoryRoot } from "../test/harness/repository-root.js";
import { BenchContext, type Suite } from "./harness/bench-context.js";
import { type Measurement, toMarkdown } from "./harness/measurement.js";
import { arrow } from "./suites/arrow.js";
import { compaction } from "./suites/compaction.js";
import { deletes } from "./suites/deletes.js";
import { idFilters } from "./suites/id-filters.js";
import { interference } from "./suites/interference.js";
import { msgpackColumns } from "./suites/msgpack-columns.js";
import { ndjsonDecoder } from "./suites/ndjson-decoder.js";
import { ndjsonEndToEnd } from "./suites/ndjson-end-to-end.js";
import { oneRowHttp } from "./suites/one-row-http.js";
import { oneRowOpenLoop } from "./suites/one-row-open-loop.js";
import { queries } from "./suites/queries.js";
import { queriesCache } from "./suites/queries-cache.js";
import { queriesClients } from "./suites/queries-clients.js";
import { queriesDays } from "./suites/queries-days.js";
import { queriesOverhead } from "./suites/queries-overhead.js";
import { queriesResults } from "./suites/queries-results.js";
import { queriesSmallWrites } from "./suites/queries-small-writes.js";
import { queriesUnflushed } from "./suites/queries-unflushed.js";
import { replaces } from "./suites/replaces.js";
import { restart } from "./suites/restart.js";
import { s3Files } from "./suites/s3-files.js";
import { s3Ingest } from "./suites/s3-ingest.js";
import { visibility } from "./suites/visibility.js";
import { websocketJson } from "./suites/websocket-json.js";

/** In the order of the table. */
const writeSuites: readonly Suite[] = [
  oneRowHttp,
  oneRowOpenLoop,
  websocketJson,
  ndjsonDecoder,
  ndjsonEndToEnd,
  msgpackColumns,
  arrow,
  interference,
  visibility,
  restart,
];

/** In a quick run only by name: they load thousands of ids or millions of rows first. */
const longSuites: readonly Suite[] = [
  replaces,
  s3Ingest,
  s3Files,
  queries,
  queriesSmallWrites,
  queriesOverhead,
  queriesCache,
  queriesResults,
  queriesDays,
  queriesUnflushed,
  queriesClients,
  compaction,
  deletes,
  idFilters,
];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function chooseSuites(only: string | undefined, isQuick: boolean): readonly Suite[] {
  const suites = [...writeSuites, ...longSuites];
  if (only === undefined) return isQuick ? writeSuites : suites;
  const names = only.split(",");
  // A name stands for its suite and for those that go on from it: `queries` for `queries-cache` as well.
  const isNamed = (suite: Suite, name: string) => suite.name === name || suite.name.startsWith(`${name}-`);
  const unknown = names.filter((name) => !suites.some((suite) => isNamed(suite, name)));
  if (unknown.length > 0) {
    throw new Error(`no suite ${unknown.join(", ")}; there are ${suites.map((suite) => suite.name).join(", ")}`);
  }
  return suites.filter((suite) => names.some((name) => isNamed(suite, name)));
}

/** A suite that fails takes its own rows down, not the others'. */
async function runSuite(suite: Suite, context: BenchContext): Promise<Measurement[]> {
  say(suite.name);
  const startMs = performance.now();
  try {
    const measurements = await suite.run(context);
    say(`  took ${Math.round((performance.now() - startMs) / 1000)} s`);
    for (const { verdict, measure, reached, target } of measurements) {
      say(`  ${verdict.toUpperCase()} ${measure}: ${reached} (${target})`);
    }
    return measurements;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    say(`  FAILED ${text}`);
    const note = (text.split("\n")[0] ?? "").slice(0, 200);
    return [{ measure: suite.name, target: "", reached: "no number", reference: "", verdict: "failed", note }];
  }
}

function describeRun(isQuick: boolean, elapsedMs: number): string {
  const processor = cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = `${Math.round(totalmem() / 1024 ** 3)} GiB`;
  const date = new Date().toISOString().slice(0, 10);
  const mode = isQuick ? "Quick run" : "Full run";
  return `${mode} of ${date}, ${Math.round(elapsedMs / 1000)} s. ${availableParallelism()} × ${processor}, ${memory}, ${platform()} ${arch()}, Node ${process.versions.node}; server, load generator and object store (local folder) on this one machine.`;
}

function writeTable(isQuick: boolean, text: string): void {
  const path = join(repositoryRoot, "bench/README.md");
  const readme = readFileSync(path, "utf8");
  const name = isQuick ? "quick" : "full";
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from === -1 || to < from) throw new Error(`bench/README.md has no ${begin} ... ${end}`);
  writeFileSync(path, `${readme.slice(0, from + begin.length)}\n\n${text}\n\n${readme.slice(to)}`);
}

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, only: { type: "string" } } });
const startMs = performance.now();
const context = new BenchContext(values.quick, say);
const measurements: Measurement[] = [];
const describe = (): string =>
  `${describeRun(values.quick, performance.now() - startMs)}\n\n${toMarkdown(measurements)}`;
try {
  for (const suite of chooseSuites(values.only, values.quick)) {
    measurements.push(...(await runSuite(suite, context)));
    // A run that is ended early leaves what it has measured.
    if (values.only === undefined) writeTable(values.quick, describe());
  }
} finally {
  context.dispose();
}
say(`\n${describe()}`);
if (measurements.some((row) => row.verdict === "failed")) process.exitCode = 1;
