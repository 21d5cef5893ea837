import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger } from "../../src/shared/log.js";

function capture(format: "json" | "text", level: "info" | "warn") {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { lines, log: createLogger({ format, level, thread: "wal", destination }) };
}

test("JSON lines carry time, level as a word, thread, sentence and facts", () => {
  const { lines, log } = capture("json", "info");
  log.info({ segment: 3 }, "segment opened");
  log.debug("not written");
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0] as string) as Record<string, unknown>;
  assert.deepEqual({ ...line, time: 0 }, { level: "info", time: 0, thread: "wal", segment: 3, msg: "segment opened" });
  assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT.*Z$/);
});

test("text lines are for people, errors with their stack", () => {
  const { lines, log } = capture("text", "warn");
  log.info("not written");
  log.child({ table: "events" }).error({ err: new Error("disk full") }, "cannot write");
  assert.equal(lines.length, 1);
  assert.match(lines[0] as string, /^\S+Z ERROR wal cannot write table=events\nError: disk full\n {4}at /);
});
