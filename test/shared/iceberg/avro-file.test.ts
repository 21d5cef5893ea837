import assert from "node:assert/strict";
import avsc from "avsc";
import { describe, test } from "node:test";
import { MiniodbError } from "../../../src/shared/errors.js";
import { decodeAvroFile, encodeAvroFile, type AvroFile } from "../../../src/shared/iceberg/avro-file.js";
import { seededRandom } from "../../harness/seeded-random.js";

const schema = {
  type: "record",
  name: "sample",
  fields: [
    { name: "text", type: "string", "field-id": 1 },
    { name: "long", type: ["null", "long"], default: null, "field-id": 2 },
    { name: "bytes", type: ["null", "bytes"], default: null, "field-id": 3 },
    { name: "list", type: { type: "array", items: "long", "element-id": 5 }, "field-id": 4 },
  ],
};
const sync = Buffer.from("00112233445566778899aabbccddeeff", "hex");

function sample(records: number): AvroFile {
  return {
    schema,
    metadata: { content: "data", "format-version": "2" },
    records: Array.from({ length: records }, (_value, index) => ({
      text: `row ${index} ü`,
      long: index % 3 === 0 ? null : index % 3 === 1 ? index : 2n ** 62n + BigInt(index),
      bytes: index % 2 === 0 ? null : Buffer.from([index & 255]),
      list: [index, -1 - index],
    })),
  };
}

/** The library makes records of a class of their own. */
function plain(records: readonly unknown[]): unknown[] {
  return records.map((record) => ({ ...(record as object) }));
}

describe("Avro files", () => {
  for (const records of [0, 1, 1_000, 2_501]) {
    test(`${records} records come back, with metadata, attributes and 64-bit longs`, () => {
      const file = sample(records);
      const { records: seen, ...rest } = decodeAvroFile(encodeAvroFile(file, sync), "a");
      assert.deepEqual(plain(seen), file.records);
      assert.deepEqual(rest, { schema, metadata: file.metadata });
    });
  }

  test("the library's own reader reads them", async () => {
    const bytes = encodeAvroFile(
      { ...sample(5), records: sample(5).records.filter((_record, index) => index % 3 !== 2) },
      sync,
    );
    const decoder = new avsc.streams.BlockDecoder();
    const seen: unknown[] = [];
    decoder.on("data", (record: unknown) => seen.push(record));
    const end = new Promise((resolve) => decoder.on("end", resolve));
    decoder.end(bytes);
    await end;
    assert.equal(seen.length, 4);
  });

  test("a file that is cut anywhere is refused", () => {
    const bytes = Buffer.from(encodeAvroFile(sample(50), sync));
    for (let end = 0; end < bytes.length; end++) {
      assert.throws(() => decodeAvroFile(bytes.subarray(0, end), "cut"), MiniodbError, `cut at ${end}`);
    }
    assert.throws(() => decodeAvroFile(Buffer.from("{}"), "json"), MiniodbError);
  });

  test("a changed byte anywhere is refused with INTERNAL, or changes nothing", () => {
    const seed = 9;
    const random = seededRandom(seed);
    const bytes = Buffer.from(encodeAvroFile(sample(20), sync));
    const whole = decodeAvroFile(bytes, "whole");
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = ((damaged[at] as number) + 1 + random.integer(255)) & 255;
      try {
        const { metadata, schema, records } = decodeAvroFile(damaged, "damaged");
        // The name of the checksum itself was hit: then it is any metadata.
        assert.deepEqual([schema, plain(records)], [whole.schema, plain(whole.records)], `byte ${at} (seed ${seed})`);
        assert.equal(Object.keys(metadata).length, Object.keys(whole.metadata).length + 1);
      } catch (error) {
        assert.ok(
          error instanceof MiniodbError && error.code === "INTERNAL",
          `${String(error)} (byte ${at}, seed ${seed})`,
        );
        refused += 1;
      }
    }
    assert.ok(refused >= bytes.length - 20, `${refused} of ${bytes.length} bytes are protected`);
  });

  test("a record that does not fit the schema is refused", () => {
    assert.throws(() => encodeAvroFile({ schema, metadata: {}, records: [{ text: 5 }] }, sync), MiniodbError);
  });
});
