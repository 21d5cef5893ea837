import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type ConfigSource, describeOptions, loadConfig } from "../../src/shared/config.js";
import { ConfigError } from "../../src/shared/config-error.js";
import { options } from "../../src/shared/config-options.js";
import { limits } from "../../src/shared/limits.js";
import { byteRingFrameBytesMax } from "../../src/shared/ring/byte-ring.js";

const machine = { cores: 8, memoryBytes: 16 * 1024 ** 3 };

function load(source: ConfigSource = {}) {
  return loadConfig({ argv: [], env: {}, machine, ...source });
}

function problemsOf(source: ConfigSource): readonly string[] {
  try {
    load(source);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return assert.fail("the configuration was accepted");
}

describe("loadConfig", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "miniodb-config-"));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function yaml(text: string): string {
    const path = join(folder, "miniodb.yaml");
    writeFileSync(path, text);
    return path;
  }

  test("defaults are used when nothing is set, and the result cannot be changed", () => {
    const config = load();
    assert.equal(config.dataFolder, "./data");
    assert.equal(config.http.host, "127.0.0.1");
    assert.equal(config.wal.segmentBytes, 64 * 1024 * 1024);
    assert.equal(config.tables.autoCreate, true);
    assert.throws(() => Object.assign(config.http, { port: 1 }), TypeError);
  });

  test("automatic values come from the machine", () => {
    assert.equal(load().ingest.workers, 4);
    assert.equal(load({ machine: { cores: 1, memoryBytes: 1024 ** 3 } }).ingest.workers, 1);
    assert.equal(load().query.memoryBytes, 4 * 1024 ** 3);
    assert.equal(load({ argv: ["--query-memory-bytes", "300MiB"] }).query.memoryBytes, 300 * 1024 ** 2);
  });

  test("a flag beats the environment, which beats the file, which beats the default", () => {
    const configFile = yaml("http:\n  port: 1001\nflush: { rows: 5, intervalMs: 2s }\nlog.level: warn\n");
    const env = { MINIODB_HTTP_PORT: "1002", MINIODB_FLUSH_ROWS: "6" };
    const config = load({ configFile, env, argv: ["--http-port=1003"] });
    assert.equal(config.http.port, 1003);
    assert.equal(config.flush.rows, 6);
    assert.equal(config.flush.intervalMs, 2000);
    assert.equal(config.log.level, "warn");
    assert.equal(load({ argv: ["--config", configFile] }).http.port, 1001);
    assert.equal(load({ env: { MINIODB_CONFIG: configFile } }).http.port, 1001);
  });

  test("garbage outlives cursors", () => {
    assert.deepEqual(problemsOf({ argv: ["--garbage-grace-ms", "5 min"] }), [
      "garbage.graceMs (5 min) must be greater than query.cursorAgeMs (5 min): the pages of a result read files that are garbage meanwhile",
    ]);
    assert.equal(problemsOf({ argv: ["--query-cursor-age-ms", "2h"] }).length, 1);
    assert.equal(load({ argv: ["--garbage-grace-ms", "1001", "--query-cursor-age-ms", "1000"] }).garbage.graceMs, 1001);
  });

  test("every body that is taken has room in rings and slabs", () => {
    const { min } = options["ingest.ringBytes"];
    // Table, batch id and principal of a frame are beside the body.
    assert.ok(byteRingFrameBytesMax(min) >= limits.inlineBodyBytesMax + 4096);
    const argv = ["--http-body-bytes-max", "200 MiB", "--ingest-slab-bytes"];
    assert.deepEqual(problemsOf({ argv: [...argv, "255 MiB"] }), [
      "http.bodyBytesMax (200 MiB) must not be greater than ingest.slabBytes (128 MiB, as a power of two): a larger body would be refused with 503 for ever",
    ]);
    assert.equal(load({ argv: [...argv, "256 MiB"] }).http.bodyBytesMax, 200 * 1024 * 1024);
  });

  test("names of the original are accepted, and are weaker than our own", () => {
    assert.equal(load({ env: { REST_PORT: "9" } }).http.port, 9);
    assert.equal(load({ env: { REST_PORT: "9", MINIODB_HTTP_PORT: "10" } }).http.port, 10);
  });

  test("an empty environment variable or YAML value means the default", () => {
    assert.equal(load({ env: { MINIODB_HTTP_PORT: "" }, configFile: yaml("http: { host: }\n") }).http.port, 8081);
    assert.equal(load({ configFile: yaml("# nothing\n") }).http.host, "127.0.0.1");
  });

  test("sizes and times may carry a unit, other integers may not", () => {
    assert.equal(load({ argv: ["--wal-segment-bytes", "32 MiB"] }).wal.segmentBytes, 32 * 1024 ** 2);
    assert.equal(load({ argv: ["--wal-bytes-max", "1_073_741_824"] }).wal.bytesMax, 1024 ** 3);
    assert.equal(load({ argv: ["--query-timeout-ms", "3m"] }).query.timeoutMs, 180_000);
    assert.match(String(problemsOf({ argv: ["--flush-rows", "3m"] })), /must be an integer from 1 to/);
    assert.match(String(problemsOf({ argv: ["--wal-segment-bytes", "3s"] })), /KiB, MiB, GiB/);
  });

  test("booleans in their usual spellings", () => {
    assert.equal(load({ argv: ["--tables-auto-create", "no"] }).tables.autoCreate, false);
    assert.equal(load({ configFile: yaml("tables: { autoCreate: false }") }).tables.autoCreate, false);
    assert.match(String(problemsOf({ argv: ["--tables-auto-create", "maybe"] })), /must be true or false/);
  });

  test("every problem is reported at once, with its place", () => {
    const problems = problemsOf({
      configFile: yaml("wal:\n  segmentBites: 1\nhttp: 7\n"),
      env: { MINIODB_HTTP_PRT: "1", MINIODB_LOG_LEVEL: "loud", MINIODB_TEST_ROUNDS: "3" },
      argv: ["--http-port", "70000", "--walsegment-bytes=1", "--query-threads", "extra", "word"],
    });
    const text = problems.join("\n");
    assert.match(text, /miniodb\.yaml: wal\.segmentBites is not an option; did you mean wal\.segmentBytes\?/);
    assert.match(text, /miniodb\.yaml: http is not an option/);
    assert.match(text, /MINIODB_HTTP_PRT is not an option; did you mean MINIODB_HTTP_PORT\?/);
    assert.match(text, /MINIODB_LOG_LEVEL: must be one of trace, .*, not "loud"/);
    assert.match(text, /--http-port: must be an integer from 0 to 65535, not "70000"/);
    assert.match(text, /--walsegment-bytes is not an option; did you mean --wal-segment-bytes\?/);
    assert.match(text, /--query-threads: must be an integer/);
    assert.match(text, /argument "word" is not understood/);
    assert.equal(problems.length, 8);
  });

  test("a flag without its value, a file that is not there and a file that is not YAML", () => {
    assert.match(String(problemsOf({ argv: ["--http-port"] })), /--http-port needs a value/);
    assert.match(String(problemsOf({ configFile: join(folder, "none.yaml") })), /none\.yaml: ENOENT/);
    assert.match(String(problemsOf({ configFile: yaml("a: [1,\nb") })), /miniodb\.yaml/);
    assert.match(String(problemsOf({ configFile: yaml("- 1") })), /must hold keys and values/);
  });

  test("a prototype name is no option", () => {
    assert.match(String(problemsOf({ configFile: yaml("constructor: 1\n__proto__x: 2\n") })), /constructor is not/);
  });
});

describe("the option table", () => {
  test("every default is inside its own bounds", () => {
    const argv = describeOptions().flatMap(({ key, flag }) => [flag, String(options[key].default)]);
    assert.deepEqual(load({ argv }), load());
  });

  test("names are unique", () => {
    const described = describeOptions();
    assert.equal(new Set(described.map((option) => option.flag)).size, described.length);
    const env = described.flatMap((option) => option.env);
    assert.equal(new Set(env).size, env.length);
  });

  test("defaults are shown with their unit", () => {
    const byKey = new Map(describeOptions().map((option) => [option.key, option.default]));
    assert.equal(byKey.get("wal.segmentBytes"), "64 MiB");
    assert.equal(byKey.get("shutdown.drainMs"), "10 s");
    assert.equal(byKey.get("wal.batchIdsMax"), "1000000");
    assert.match(byKey.get("ingest.workers") ?? "", /^0: one less/);
  });
});
