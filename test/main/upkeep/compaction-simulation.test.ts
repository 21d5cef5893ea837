/** Days of flushes of all sizes, merged as planned: what that costs and what it leaves. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planAskedCompaction } from "../../../src/main/upkeep/plan-asked-compaction.js";
import { planCompaction, type CompactionPlan, type CompactionRules } from "../../../src/main/upkeep/plan-compaction.js";
import type { DataFile } from "../../../src/shared/messages.js";
import { seededRandom, type SeededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);
const mib = 1024 * 1024;
const rules: CompactionRules = {
  smallFilesMin: 16,
  targetBytes: 256 * mib,
  inputBytesMax: 1024 * mib,
  deletedPercent: 10,
  deletedAgeMs: 86_400_000,
};
const nowMs = 1_800_000_000_000;

/** How often the rows of a file were rewritten, the most of them. */
interface SimulatedFile extends DataFile {
  readonly rewrites: number;
}

class SimulatedTable {
  files: SimulatedFile[] = [];
  flushedBytes = 0;
  mergedBytes = 0;
  #next = 0;

  flush(day: number, bytes: number, micros: number): void {
    this.#add(day, bytes, { from: micros, to: micros + bytes, rewrites: 0 });
    this.flushedBytes += bytes;
  }

  merge({ day, files, bytes }: CompactionPlan, count = 1): void {
    const sources = files as readonly SimulatedFile[];
    assert.ok(sources.every((file) => this.files.includes(file)));
    this.files = this.files.filter((file) => !sources.includes(file));
    const from = Math.min(...sources.map((file) => Number(file.bounds[1]?.lower)));
    const to = Math.max(...sources.map((file) => Number(file.bounds[1]?.upper)));
    const rewrites = Math.max(...sources.map((file) => file.rewrites)) + 1;
    const step = (to - from) / count;
    for (let part = 0; part < count; part++) {
      const range = { from: Math.round(from + part * step), to: Math.round(from + (part + 1) * step), rewrites };
      this.#add(day, Math.ceil(bytes / count), range);
    }
    this.mergedBytes += bytes;
  }

  #add(day: number, bytes: number, range: { from: number; to: number; rewrites: number }): void {
    const { from, to, rewrites } = range;
    const bounds = { 1: { lower: String(from), upper: String(to), nulls: 0 } };
    const key = String(this.#next++).padStart(8, "0");
    this.files.push({ key, day, bytes, rows: 1, fieldIds: [1], bounds, rewrites });
  }
}

type FlushSize = (random: SeededRandom) => number;
const sizes: Readonly<Record<string, FlushSize>> = {
  "tiny flushes": () => 4096,
  "flushes of 1 MiB": () => mib,
  "flushes of 20 MiB": () => 20 * mib,
  "flushes of all sizes": (random) => Math.ceil(1024 * 2 ** (random.real() * 16)),
  "mostly tiny, some large": (random) => (random.real() < 0.95 ? 10_000 : 60 * mib),
};

describe(`what merges cost and leave (MINIODB_TEST_SEED=${seed})`, () => {
  for (const [name, sizeOf] of Object.entries(sizes)) {
    test(name, (t) => {
      const random = seededRandom(seed);
      const table = new SimulatedTable();
      const flushes = 3000;
      for (let flush = 0; flush < flushes; flush++) {
        // Late rows: some flushes belong to an earlier day.
        const day = Math.max(0, Math.floor(flush / 1000) - (random.real() < 0.1 ? 1 : 0));
        table.flush(day, sizeOf(random), flush * 1_000_000 - random.integer(3_000_000));
        // Rounds of the upkeep come when they come.
        if (random.real() < 0.3) continue;
        for (const plan of planCompaction(table.files, rules, nowMs)) {
          assert.ok(plan.bytes <= rules.targetBytes, "one merge reads the target at most");
          table.merge(plan);
        }
      }
      for (let round = 0; round < 20; round++) {
        for (const plan of planCompaction(table.files, rules, nowMs)) table.merge(plan);
      }
      assert.deepEqual(planCompaction(table.files, rules, nowMs), [], "at rest");
      for (const day of [0, 1, 2]) {
        const ofDay = table.files.filter((file) => file.day === day);
        const finished = ofDay.filter((file) => file.bytes >= rules.targetBytes / 2);
        const bytes = ofDay.reduce((sum, file) => sum + file.bytes, 0);
        assert.ok(finished.length <= bytes / (rules.targetBytes / 2), `${finished.length} finished files`);
        assert.ok(ofDay.length - finished.length < rules.smallFilesMin, `${ofDay.length} files of ${bytes} bytes`);
      }
      const amplification = table.mergedBytes / table.flushedBytes;
      const rewrites = Math.max(...table.files.map((file) => file.rewrites));
      // From 256 KiB, up to which files are merged as they come, to half of the target a row's file doubles 9 times.
      assert.ok(rewrites <= 9 + 1 + 8, `${rewrites} rewrites of one row`);
      t.diagnostic(
        `each byte is merged ${amplification.toFixed(2)} times, a row at most ${rewrites}; ${table.files.length} files left`,
      );
      assert.ok(amplification <= 6, `each byte is written ${amplification} times by merges`);
    });
  }

  test("a full compaction leaves files of the target's size that do not overlap, and then plans nothing", () => {
    const random = seededRandom(seed);
    for (let round = 0; round < 50; round++) {
      const table = new SimulatedTable();
      const flushes = 1 + random.integer(60);
      for (let flush = 0; flush < flushes; flush++) {
        table.flush(random.integer(2), 1 + random.integer(40 * mib), random.integer(2_000 * mib));
      }
      const scope = { isFull: true, fromDay: 0, throughDay: 10 };
      const asked = { ...rules, inputBytesMax: 4096 * mib, nowMs, sortFieldId: 1 };
      let passes = 0;
      for (; passes < 5; passes++) {
        const plans = planAskedCompaction(table.files, scope, asked);
        if (plans.length === 0) break;
        for (const plan of plans) table.merge(plan, Math.max(1, Math.round(plan.bytes / rules.targetBytes)));
      }
      assert.ok(passes <= 3, `${passes} passes`);
      for (const day of [0, 1]) {
        const ofDay = table.files.filter((file) => file.day === day).toSorted((a, b) => startOf(a) - startOf(b));
        for (const [index, file] of ofDay.entries()) {
          const next = ofDay[index + 1];
          if (next !== undefined) assert.ok(startOf(next) >= Number(file.bounds[1]?.upper), "no overlap");
        }
        const small = ofDay.filter((file) => file.bytes < rules.targetBytes / 2);
        assert.ok(small.length <= ofDay.length / 2 + 1, `${small.length} of ${ofDay.length} files are small`);
      }
    }
  });
});

const startOf = (file: DataFile): number => Number(file.bounds[1]?.lower);
