import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseExactJson, stringifyExactJson, toLongValue } from "../../../src/shared/iceberg/exact-json.js";

describe("exact JSON", () => {
  test("keeps integers that a double cannot hold, wherever they stand", () => {
    const text =
      '{"a":9223372036854775807,"b":[-9223372036854775808,1],"9223372036854775807":"9223372036854775807","c":{"d":9007199254740993}}';
    const value = parseExactJson(text);
    assert.deepEqual(value, {
      a: 9223372036854775807n,
      b: [-9223372036854775808n, 1],
      "9223372036854775807": "9223372036854775807",
      c: { d: 9007199254740993n },
    });
    assert.deepEqual(parseExactJson(stringifyExactJson(value)), value);
  });

  test("leaves other numbers and text as JSON.parse reads them", () => {
    for (const text of [
      '{"a":1234567890.1234567890123,"b":1e300,"c":1234567890123456}',
      String.raw`{"text":"a \"quoted\" 12345678901234567890 \\","n":1.7976931348623157e308}`,
      "[0.12345678901234567890, 12345678901234567890.5, -0]",
      '"1234567890123456789"',
    ]) {
      assert.deepEqual(parseExactJson(text), JSON.parse(text), text);
    }
  });

  test("any JSON value survives, with long integers in it", () => {
    const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(toLongValue);
    const leaf = fc.oneof(fc.string(), fc.boolean(), fc.constant(null), long, fc.integer());
    const key = fc.string().filter((name) => name !== "__proto__");
    const tree = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie("value")),
        fc.dictionary(key, tie("value"), { noNullPrototype: true }),
      ),
    })).value;
    fc.assert(
      fc.property(tree, (value) => {
        assert.deepEqual(parseExactJson(stringifyExactJson(value)), value);
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  test("is as strict as JSON.parse", () => {
    for (const text of ["{", '{"a":12345678901234567890,}', "12345678901234567890 1", ""]) {
      assert.throws(() => parseExactJson(text), SyntaxError, text);
    }
  });
});
