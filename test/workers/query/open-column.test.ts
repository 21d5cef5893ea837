/** Queries over encrypted columns, by the view that a table stands for: DuckDB calls back into this thread for their values. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import { ColumnKeys } from "../../../src/shared/encryption/column-keys.js";
import { sealColumn } from "../../../src/shared/formats/sealed-value-v1.js";
import type { QueryTable } from "../../../src/shared/query-messages.js";
import type { ResultFormat } from "../../../src/shared/result-format.js";
import type { TableSchema } from "../../../src/shared/schema/table-schema.js";
import { someOf } from "../../harness/test-size.js";
import { bytesOf, openFixture, type QueryFixture, schemaOf } from "./query-fixture.js";

const secret = Buffer.alloc(32, 3);
const scope = "00000000000000aa";
const rows = 20_000;

/** Short and long ones, NULLs, an empty one, and texts of several bytes a character. */
function valueOf(row: number): string | null {
  if (row % 10 === 0) return null;
  if (row % 10 === 1) return "";
  if (row % 10 === 2) return `s${row}`;
  return row % 10 === 3 ? `größer ${row} ${"🙂".repeat(row % 30)}` : `user.${row}@example.com`;
}

function sealed(values: readonly (string | null)[], ring = new ColumnKeys([secret])): (string | null)[] {
  const builder = new ColumnBuilder(3, "string");
  for (const [row, value] of values.entries()) {
    if (value === null) builder.setNull(row);
    else builder.setString(row, value);
  }
  const cipher = ring.newest(scope);
  assert.ok(cipher !== undefined);
  const { values: bytes, offsets } = sealColumn(builder.finish(values.length), cipher);
  return values.map((value, row) =>
    value === null ? null : Buffer.from(bytes.subarray(offsets?.[row], offsets?.[row + 1])).toString(),
  );
}

function withEncryption(schema: TableSchema, mayBePlain: boolean): TableSchema {
  const columns = schema.columns.map((column) =>
    column.name === "Email" ? { ...column, encryption: { scope, isOn: true, mayBePlain } } : column,
  );
  return { ...schema, columns };
}

const schema = withEncryption(schemaOf("timestamp timestamp", "id string", "Email string", "n long 4"), false);
let fixture: QueryFixture;
let people: QueryTable;

async function tableFrom(name: string, texts: readonly (string | null)[], of = schema): Promise<QueryTable> {
  const path = join(fixture.folder, `${name}.json`);
  writeFileSync(path, texts.map((email, n) => JSON.stringify({ n, email })).join("\n"));
  const select = `SELECT n::BIGINT AS n, email::VARCHAR AS "Email" FROM read_json('${path}', format = 'newline_delimited')`;
  const file = await fixture.writeParquet(`${name}.parquet`, select, { n: 4, Email: 3 });
  return { name, schema: of, committedFiles: [file], hotFiles: [] };
}

before(async () => {
  fixture = await openFixture({ columnKeys: [secret] });
  people = await tableFrom("people", sealed(Array.from({ length: rows }, (_, row) => valueOf(row))));
});
after(async () => fixture.close());

describe("an encrypted column", () => {
  test("reads as what was written, in all rows", async () => {
    // Twice: the second view is the plain one of file-columns.ts.
    for (let round = 0; round < 3; round++) {
      const found = await fixture.query("SELECT n, email AS v FROM people ORDER BY n", { tables: [people] });
      assert.equal(found.length, rows);
      for (const [row, { n, v }] of found.entries()) {
        assert.equal(Number(n), row);
        assert.equal(v ?? null, valueOf(row), `row ${row}`);
      }
    }
  });

  test("is filtered, joined, grouped and counted like any", async () => {
    const ask = (sql: string) => fixture.query(sql, { tables: [people] });
    assert.deepEqual(await ask("SELECT n FROM people WHERE email = 'user.17@example.com'"), [{ n: 17 }]);
    assert.deepEqual(await ask("SELECT n FROM people WHERE EMAIL LIKE 'user.1999_@%' AND n < 19995"), [{ n: 19_994 }]);
    const [counts] = await ask(
      "SELECT count(*) AS a, count(email) AS b, count(*) FILTER (email = '') AS c FROM people",
    );
    assert.deepEqual(counts, { a: rows, b: rows * 0.9, c: rows / 10 });
    const [joined] = await ask(
      "SELECT count(*) AS n FROM people a JOIN people b ON a.email = b.email AND a.n < 100 AND b.email <> ''",
    );
    assert.deepEqual(joined, { n: 80 });
  });

  test("in every format", async () => {
    for (const format of ["json", "ndjson", "csv", "arrow", "msgpack", "parquet"] satisfies ResultFormat[]) {
      const sql = "SELECT email FROM people WHERE n BETWEEN 100 AND 15000 ORDER BY n";
      const body = bytesOf(await fixture.execute(sql, { tables: [people], format }));
      assert.ok(body.length > 10_000, format);
      assert.ok(!body.includes("enc:1:"), format);
      if (format !== "parquet") assert.ok(body.includes("user.14999@example.com"), format);
    }
  });

  test("large values come a few rows at a time", async () => {
    const large = Array.from({ length: 110 }, (_, row) => (row % 7 === 0 ? `short ${row}` : `${row} `.repeat(40_000)));
    const wide = await tableFrom("wide", sealed(large));
    const found = await fixture.query("SELECT n, md5(email) AS v FROM wide ORDER BY n", { tables: [wide] });
    assert.deepEqual(
      found.map(({ v }) => v),
      large.map((text) => createHash("md5").update(text).digest("hex")),
    );
  });

  test("its function is not for clients", async () => {
    const statement = await fixture.runner.run({ kind: "parse", sql: `SELECT miniodb_open_column('x', '${scope}')` });
    assert.ok(statement.kind === "failed" && statement.error.code === "SQL_NOT_ALLOWED", JSON.stringify(statement));
  });
});

describe("what cannot be decrypted", () => {
  const errorOf = async (sql: string, table: QueryTable, format: ResultFormat = "original") => {
    const result = await fixture.execute(sql, { tables: [table], format });
    assert.equal(result.kind, "failed");
    return (result as { readonly error: { readonly code: string; readonly message: string } }).error;
  };

  test("is an error of its own, and only for statements that use the column", async () => {
    const values = sealed(["a", "b", null], new ColumnKeys([Buffer.alloc(32, 9)]));
    const foreign = await tableFrom("foreign_key", values);
    for (const format of ["original", "csv", "arrow", "msgpack"] satisfies ResultFormat[]) {
      const error = await errorOf("SELECT * FROM foreign_key", foreign, format);
      assert.equal(error.code, "COLUMN_LOCKED");
      assert.match(
        error.message,
        /^A value of an encrypted column is under key [0-9a-f]{8}, which this node does not have$/,
      );
    }
    assert.equal((await errorOf("SELECT n FROM foreign_key WHERE email = 'a'", foreign)).code, "COLUMN_LOCKED");
    assert.deepEqual(await fixture.query("SELECT n FROM foreign_key ORDER BY n", { tables: [foreign] }), [
      { n: 0 },
      { n: 1 },
      { n: 2 },
    ]);
  });

  test("plain values are errors where there can be none, and texts where there can", async () => {
    const texts = ["plain", ...sealed(["secret"]), null, ""];
    const tampered = await tableFrom("tampered", texts);
    assert.equal((await errorOf("SELECT email FROM tampered", tampered)).code, "COLUMN_LOCKED");
    const mixed = { ...tampered, schema: withEncryption(schema, true) };
    const found = await fixture.query("SELECT email AS v FROM tampered ORDER BY n", { tables: [mixed] });
    assert.deepEqual(
      found.map(({ v }) => v ?? null),
      ["plain", "secret", null, ""],
    );
  });

  test("a query that is stopped in the middle leaves the worker able to answer", async () => {
    const sql = "SELECT a.email || b.n::VARCHAR AS text FROM people a, people b WHERE a.email > ''";
    const formats: readonly ResultFormat[] = ["arrow", "msgpack", "csv", "original"];
    for (const format of someOf(formats, 2)) {
      const stopped = await fixture.execute(sql, { tables: [people], format, timeoutMs: 150, limitRows: null });
      assert.ok(
        stopped.kind === "failed" && stopped.error.code === "QUERY_TIMEOUT",
        `${format}: ${JSON.stringify(stopped).slice(0, 300)}`,
      );
      const page = await fixture.execute(sql, { tables: [people], format, limitRows: 5_000 });
      assert.equal(page.kind, "rows", format);
      assert.ok(bytesOf(page).length > 0);
      const [left] = await fixture.query("SELECT count(email) AS n FROM people", { tables: [people] });
      assert.deepEqual(left, { n: rows * 0.9 }, format);
    }
  });
});
