import assert from "node:assert/strict";
import { test } from "node:test";
import { IdTable } from "../../../src/shared/columns/id-table.js";
import { collidingTexts } from "../../harness/colliding-texts.js";
import { seededRandom } from "../../harness/seeded-random.js";

const seed = Number(process.env["MINIODB_TEST_SEED"] ?? Date.now() % 1_000_000);

test(`ids have the last sequence that was put in, as in a Map (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 30; round++) {
    const known = new Map<string, number>();
    const idsMax = 1 + random.integer(2000);
    const table = new IdTable(idsMax);
    const texts = Array.from({ length: 3 }, () => {
      const ids = Array.from({ length: idsMax }, () => {
        const id = `${random.pick(["a", "device-", "ïd-", ""])}${random.integer(idsMax)}`;
        return Buffer.from(id.repeat(1 + random.integer(3)));
      });
      return { ids, bytes: Buffer.concat(ids) };
    });
    let sequence = 0;
    for (const { ids, bytes } of texts) {
      let at = 0;
      for (const id of ids) {
        const isKnown = known.has(id.toString());
        if (isKnown || known.size < idsMax) {
          table.put(bytes, at, at + id.length, ++sequence);
          known.set(id.toString(), sequence);
        } else assert.equal(table.sequenceOf(bytes, at, at + id.length), 0);
        at += id.length;
      }
    }
    assert.equal(table.size, known.size);
    const { values, offsets } = table.texts();
    const ids = Array.from({ length: table.size }, (_, index) =>
      Buffer.from(values.subarray(offsets[index], offsets[index + 1])).toString(),
    );
    assert.deepEqual(ids, [...known.keys()]);
    for (const [id, expected] of known) {
      const bytes = Buffer.from(`x${id}y`);
      assert.equal(table.sequenceOf(bytes, 1, bytes.length - 1), expected, id);
    }
  }
});

/** Processor time of putting all the ids into a table, the best of three, in ms. */
function putMs(ids: readonly string[]): number {
  const bytes = Buffer.from(ids.join(""));
  const length = bytes.length / ids.length;
  const times = [0, 1, 2].map(() => {
    const table = new IdTable(ids.length);
    const before = process.cpuUsage();
    for (let index = 0; index < ids.length; index++) table.put(bytes, index * length, (index + 1) * length, index + 1);
    const { user, system } = process.cpuUsage(before);
    assert.equal(table.size, ids.length);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

test("ids that were chosen to collide take no longer than others", () => {
  const chosen = collidingTexts(14);
  const { length } = chosen[0] ?? "";
  const others = chosen.map((_, index) => String(index).padStart(length, "x"));
  // Where they collide, each id is compared with all before it: 130 million looks for these, which is 1,000 times the work.
  const [othersMs, chosenMs] = [putMs(others), putMs(chosen)];
  assert.ok(chosenMs < 50 * Math.max(othersMs, 1), `${chosenMs} ms, others ${othersMs} ms`);
});
