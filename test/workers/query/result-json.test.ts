import { DuckDBInstance } from "@duckdb/node-api";
import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsOf } from "../../../src/workers/query/result-columns.js";
import { JsonResult, type JsonShape } from "../../../src/workers/query/result-json.js";

test("a piece stays as it is until the next one is taken, whatever other results do meanwhile", async () => {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  for (const shape of ["original", "json", "ndjson"] satisfies JsonShape[]) {
    const write = async (text: string): Promise<{ json: JsonResult; append(): void }> => {
      const result = await connection.run(`SELECT '${text}"' AS t FROM range(1000)`);
      const columns = columnsOf(result).map((column) => ({ ...column, isRaw: false }));
      const json = new JsonResult(columns, shape, 10_000_000);
      return { json, append: () => json.append(result.getChunk(0), 1000) };
    };
    const [one, other] = [await write("one"), await write("other")];
    one.append();
    const piece = one.json.take();
    const before = Buffer.from(piece).toString();
    assert.ok(before.includes("one") && before.length > 1000);
    // A sink may take its time with the piece: rows of this result and of others are written beside it.
    one.append();
    other.append();
    other.json.take();
    other.append();
    other.json.whole();
    assert.equal(Buffer.from(piece).toString(), before, shape);
  }
  connection.closeSync();
  instance.closeSync();
});
