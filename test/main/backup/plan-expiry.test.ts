import assert from "node:assert/strict";
import { test } from "node:test";
import { planExpiry } from "../../../src/main/backup/plan-expiry.js";
import { backupId, type BackupKind } from "../../../src/shared/store/store-paths.js";

const dayMs = 86_400_000;
const nowMs = Date.parse("2026-11-23T00:00:00Z");

function backup(kind: BackupKind, days: number) {
  const timeMs = nowMs - days * dayMs;
  return { kind, timeMs, isSealed: false, id: backupId(timeMs, "00000000") };
}

test("what is older goes, but for the newest of its kind", () => {
  const all = [backup("pointers", 0), backup("pointers", 8), backup("full", 9), backup("full", 20), backup("full", 30)];
  const gone = planExpiry(all, 7, nowMs);
  assert.deepEqual(gone, [all[1]?.id, all[3]?.id, all[4]?.id]);
  assert.deepEqual(planExpiry(all, 0, nowMs), []);
  assert.deepEqual(planExpiry(all, 31, nowMs), []);
});
