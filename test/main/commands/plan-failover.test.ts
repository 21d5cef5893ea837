import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planFailover } from "../../../src/main/commands/plan-failover.js";
import type { InspectedPool, InspectedTable } from "../../../src/shared/mirror-messages.js";
import type { PoolRecord } from "../../../src/shared/store/pool-record.js";

const timeMs = Date.UTC(2026, 10, 23);

function table(name: string, version: number, parts: Partial<InspectedTable> = {}): InspectedTable {
  const sizes = { rows: version * 10, files: version, bytes: version * 1000 };
  return {
    location: `${name}-x`,
    name,
    version,
    commitId: `c${version}`,
    updatedMs: timeMs + version,
    ...sizes,
    ...parts,
  };
}

function pool(
  role: "first" | "second",
  tables: readonly InspectedTable[],
  parts: Partial<PoolRecord> = {},
): InspectedPool {
  const record: PoolRecord = {
    format: 1,
    warehouse: "w",
    epoch: 1,
    role,
    first: "one",
    time: "2026-11-23T00:00:00.000Z",
    by: "test",
    promoted: {},
    isReconciled: true,
    ...parts,
  };
  return { place: role === "first" ? "one" : "two", isReachable: true, record, tables };
}

const away: InspectedPool = { place: "one", isReachable: false, error: "refused" };

describe("the report before a failover", () => {
  test("says that nothing is missing", () => {
    const plan = planFailover(pool("first", [table("a", 3)]), pool("second", [table("a", 3)]));
    assert.deepEqual([plan.refusal, plan.behind], [null, []]);
    assert.match(plan.report.join("\n"), /Lag: none/);
  });

  test("says what is missing: tables, commits, rows and bytes, and what only the second has", () => {
    const first = pool("first", [table("a", 7), table("b", 2), table("c", 4)]);
    const second = pool("second", [table("a", 5), table("c", 4), table("d", 1)]);
    const plan = planFailover(first, second);
    assert.deepEqual(plan.behind, ["a-x", "b-x"]);
    const report = plan.report.join("\n");
    assert.match(report, /2 tables, 4 commits, about 40 rows and 4000 bytes/);
    assert.match(report, /a: version 5 of 7/);
    assert.match(report, /b: version none of 2/);
    assert.match(report, /only the second pool has: d/);
  });

  test("a version of the same number by another commit counts as missing", () => {
    const plan = planFailover(pool("first", [table("a", 7)]), pool("second", [table("a", 7, { commitId: "other" })]));
    assert.deepEqual(plan.behind, ["a-x"]);
  });

  test("says that nobody knows where the first pool is away, and as of when the second one is", () => {
    const plan = planFailover(away, pool("second", [table("a", 7), table("b", 2)]));
    assert.deepEqual([plan.refusal, plan.isFirstReachable], [null, false]);
    const report = plan.report.join("\n");
    assert.match(report, /cannot be reached: refused/);
    assert.match(report, new RegExp(`Lag: unknown since ${new Date(timeMs + 7).toISOString()}`));
    assert.match(report, /2 tables with 90 rows/);
  });

  test("of two second pools, after one that was broken off, nothing is copied over the newer one", () => {
    const [older, newer] = [pool("second", [table("a", 5)]), pool("second", [table("a", 7)], { epoch: 2 })];
    assert.equal(planFailover(newer, older).isCopied, true);
    const back = planFailover(older, newer);
    assert.deepEqual([back.isCopied, back.refusal], [false, null]);
    assert.equal(planFailover(pool("first", []), pool("second", [])).isCopied, true);
  });

  test("warns of a second pool that still holds what diverged", () => {
    const plan = planFailover(away, pool("second", [table("a", 7)], { isReconciled: false }));
    assert.match(plan.report.join("\n"), /may hold what diverged/);
  });

  test("refuses what cannot be promoted", () => {
    const first = pool("first", []);
    const cases = [
      [planFailover(first, away), /cannot be promoted/],
      [planFailover(first, { place: "two", isReachable: true, record: null, tables: [] }), /Nothing was ever mirrored/],
      [planFailover(first, pool("first", [], { epoch: 2 })), /is first already: since 2026-11-23.*Swap/],
      [planFailover(first, pool("second", [], { warehouse: "other" })), /not of one warehouse/],
    ] as const;
    for (const [plan, message] of cases) assert.match(plan.refusal ?? "", message);
  });
});
