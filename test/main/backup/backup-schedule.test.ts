import assert from "node:assert/strict";
import { test } from "node:test";
import { BackupSchedule } from "../../../src/main/backup/backup-schedule.js";
import { ConfigError } from "../../../src/shared/config-error.js";

const at = (time: string): number => Date.parse(`2026-11-23T${time}Z`);

test("each time counts once, in UTC, and what was missed is one", () => {
  const schedule = new BackupSchedule({ pointers: "0 * * * *", full: "30 2 * * *" }, at("01:10:00"));
  assert.equal(schedule.nextMs, at("02:00:00"));
  assert.deepEqual(schedule.due(at("01:59:59")), []);
  assert.deepEqual(schedule.due(at("02:00:00")), ["pointers"]);
  assert.deepEqual(schedule.due(at("02:00:01")), []);
  assert.equal(schedule.nextMs, at("02:30:00"));
  assert.deepEqual(schedule.due(at("05:10:00")), ["full", "pointers"]);
  assert.deepEqual(schedule.due(at("05:10:01")), []);
  assert.equal(schedule.nextMs, at("06:00:00"));
});

test("without expressions nothing is due; a wrong one is named", () => {
  const none = new BackupSchedule({ pointers: "", full: "" }, 0);
  assert.deepEqual([none.due(Number.MAX_SAFE_INTEGER), none.nextMs], [[], null]);
  for (const expression of ["hourly", "61 * * * *", "0 0 31 2 *"]) {
    assert.throws(() => new BackupSchedule({ pointers: expression, full: "" }, 0), ConfigError, expression);
  }
});
