import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { IdLines } from "../../../src/main/mutate/id-lines.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

test(`work about one id runs in the order in which it came, never two at once (seed ${seed})`, async () => {
  const random = seededRandom(seed);
  const lines = new IdLines();
  const ids = ["a", "b", "c", "d"];
  const busy = new Set<string>();
  const begun = new Map<string, number[]>();
  const work = Array.from({ length: 60 }, async (_, index) => {
    const wanted = ids.filter(() => random.integer(2) === 0);
    const pauseMs = random.integer(3);
    const isFailing = random.integer(5) === 0;
    const running = lines.inLine("t", wanted, async () => {
      for (const id of wanted) {
        assert.ok(!busy.has(id), id);
        busy.add(id);
        begun.set(id, [...(begun.get(id) ?? []), index]);
      }
      await sleep(pauseMs);
      for (const id of wanted) busy.delete(id);
      if (isFailing) throw new Error("planned");
      return index;
    });
    if (isFailing) await assert.rejects(running, /planned/);
    else assert.equal(await running, index);
  });
  await Promise.all(work);
  for (const indexes of begun.values()) {
    const inOrder = indexes.toSorted((one, other) => one - other);
    assert.deepEqual(indexes, inOrder);
  }
  assert.equal(lines.size, 0);
});

test("tables and other ids do not wait", async () => {
  const lines = new IdLines();
  let release: () => void = () => {};
  const held = lines.inLine("t", ["a"], () => new Promise<void>((resolve) => (release = resolve)));
  assert.equal(await lines.inLine("t", ["b"], () => Promise.resolve(1)), 1);
  assert.equal(await lines.inLine("u", ["a"], () => Promise.resolve(2)), 2);
  release();
  await held;
});
