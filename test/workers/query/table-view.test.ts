import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { QueryTable } from "../../../src/shared/query-messages.js";
import { quoteName } from "../../../src/workers/query/table-view.js";
import { openFixture, type QueryFixture, schemaOf, tableOf } from "./query-fixture.js";

let fixture: QueryFixture;
before(async () => {
  fixture = await openFixture();
});
after(async () => fixture.close());

const deleteIds = { file_path: 2_147_483_546, pos: 2_147_483_545 };

describe("a table's view", () => {
  test("deleted rows are left out of the files that have some, whatever the columns are called", async () => {
    const write = (name: string, first: number): Promise<string> =>
      fixture.writeParquet(
        `${name}.parquet`,
        `SELECT (${first} + i)::BIGINT AS n, i::BIGINT AS file_row_number, 7::BIGINT AS filename FROM range(5000) t(i)`,
        { n: 1, file_row_number: 2, filename: 3 },
      );
    const files = [await write("del-a", 0), await write("del-b", 10_000), await write("del-c", 20_000)];
    const [a = "", b = "", c = ""] = files;
    const positions = (name: string, condition: string): Promise<string> =>
      fixture.writeParquet(
        `${name}.parquet`,
        `SELECT 'file:///x' AS file_path, i::BIGINT AS pos FROM range(5000) t(i) WHERE ${condition}`,
        deleteIds,
      );
    const even = await positions("del-even", "i % 2 = 0");
    const first = await positions("del-first", "i < 100");
    const late = await positions("del-late", "i BETWEEN 50 AND 199");
    const schema = schemaOf("n long 1", "file_row_number long 2", "FileName long 3");
    const plain = tableOf("t", schema, files);
    const cases = [
      {
        deletes: [{ file: b, deleteFiles: [even] }],
        rows: 12_500,
        isThere: (n: number) => n < 10_000 || n >= 20_000 || n % 2 === 1,
      },
      {
        deletes: [
          { file: c, deleteFiles: [first, late] },
          { file: a, deleteFiles: [even] },
        ],
        rows: 12_300,
        isThere: (n: number) => (n < 10_000 ? n % 2 === 1 : n < 20_000 || n >= 20_200),
      },
    ];
    for (const { deletes, rows, isThere } of cases) {
      const tables = [{ ...plain, deletes }];
      const [counted] = await fixture.query("SELECT count(*) AS rows, max(filename) AS name FROM t", { tables });
      assert.deepEqual(counted, { rows, name: 7 });
      const seen = await fixture.query("SELECT n, file_row_number AS row FROM t WHERE n % 7 = 3", { tables });
      const numbers = seen.map((row) => Number(row["n"])).toSorted((one, other) => one - other);
      const all = [0, 10_000, 20_000].flatMap((start) => Array.from({ length: 5_000 }, (_, index) => start + index));
      assert.deepEqual(
        numbers,
        all.filter((n) => n % 7 === 3 && isThere(n)),
      );
      assert.ok(seen.every((row) => Number(row["row"]) === Number(row["n"]) % 10_000));
    }
  });

  test("rows are left out by id where files after theirs replaced them, beside deleted rows, whatever the id is called", async () => {
    const columns = { ID: 2, n: 1 };
    const write = (name: string, first: number): Promise<string> => {
      const id = `CASE WHEN i % 10 = 9 THEN NULL ELSE 'id-' || (${first} + i) END AS "ID"`;
      return fixture.writeParquet(
        `${name}.parquet`,
        `SELECT ${id}, (${first} + i)::BIGINT AS n FROM range(100) t(i)`,
        columns,
      );
    };
    const files = [
      await write("rep-a", 0),
      await write("rep-b", 100),
      await write("rep-c", 200),
      await write("rep-d", 300),
    ];
    const [a = "", b = "", c = "", d = ""] = files;
    const idFile = (name: string, from: number, to: number): Promise<string> =>
      fixture.writeParquet(`${name}.parquet`, `SELECT 'id-' || i AS id FROM range(${from}, ${to}) t(i)`, { id: 2 });
    const early = await idFile("rep-early", 50, 150);
    const late = await idFile("rep-late", 190, 210);
    const gone = await fixture.writeParquet("rep-gone.parquet", "SELECT 'x' AS file_path, 0::BIGINT AS pos", deleteIds);
    const schema = schemaOf("n long 1", "ID string 2");
    const table: QueryTable = {
      ...tableOf("t", schema, [a, b]),
      hotFiles: [c, d],
      deletes: [{ file: a, deleteFiles: [gone] }],
      replaced: [
        { files: [a, b], idFiles: [early, late] },
        { files: [c], idFiles: [late] },
      ],
    };
    const isThere = (n: number): boolean => {
      if (n === 0) return false;
      if (n % 10 === 9 || n >= 300) return true;
      return n < 200 ? (n < 50 || n >= 150) && n < 190 : n >= 210;
    };
    const expected = Array.from({ length: 400 }, (_, n) => n).filter(isThere);
    const seen = await fixture.query("SELECT n FROM t ORDER BY n", { tables: [table] });
    assert.deepEqual(
      seen.map((row) => Number(row["n"])),
      expected,
    );
    assert.deepEqual(await fixture.query("SELECT count(*) AS rows FROM t", { tables: [table] }), [
      { rows: expected.length },
    ]);
    // Every file has something to leave out.
    const { replaced: _, ...rest } = table;
    const all = { ...rest, replaced: [{ files, idFiles: [early] }] };
    const left = Array.from({ length: 400 }, (_unused, n) => n).filter(
      (n) => n !== 0 && (n % 10 === 9 || n < 50 || n >= 150),
    );
    assert.deepEqual(await fixture.query("SELECT count(*) AS rows FROM t", { tables: [all] }), [{ rows: left.length }]);
  });

  test("places are the numbers of file and row, files with deletes behind the others", async () => {
    const write = (name: string): Promise<string> =>
      fixture.writeParquet(`${name}.parquet`, "SELECT i::BIGINT AS n FROM range(4) t(i)", { n: 1 });
    const files = [await write("place-a"), await write("place-b")];
    const gone = await fixture.writeParquet(
      "place-gone.parquet",
      "SELECT 'x' AS file_path, 1::BIGINT AS pos",
      deleteIds,
    );
    const places = { file: "f", row: "r" };
    const table = { ...tableOf("t", schemaOf("n long 1"), files), places };
    const placesOf = async (tables: QueryTable): Promise<unknown[]> =>
      (await fixture.query("SELECT f, r FROM t WHERE n < 3 ORDER BY f, r", { tables: [tables] })).map(({ f, r }) => [
        f,
        r,
      ]);
    assert.deepEqual(await placesOf(table), [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    const deletes = [{ file: files[0] ?? "", deleteFiles: [gone] }];
    assert.deepEqual(await placesOf({ ...table, deletes }), [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 2],
    ]);
    assert.deepEqual(await placesOf({ ...table, committedFiles: [] }), []);
  });

  test("columns come in the schema's order, missing ones are NULL, unknown ones do not show", async () => {
    const old = await fixture.writeParquet("order-old.parquet", "SELECT 1::BIGINT AS b, 'x' AS gone", {
      b: 2,
      gone: 9,
    });
    const young = await fixture.writeParquet("order-young.parquet", "SELECT 'y' AS a, 2::BIGINT AS b, true AS c", {
      a: 1,
      b: 2,
      c: 3,
    });
    const schema = schemaOf("c boolean 3", "a string 1", "b long 2", "d double 4", "e timestamp 5", "f json 6");
    const tables = [tableOf("t", schema, [old, young])];
    const rows = await fixture.query("SELECT * FROM t ORDER BY b", { tables });
    const missing = { d: null, e: null, f: null };
    assert.deepEqual(rows, [
      { c: null, a: null, b: 1, ...missing },
      { c: true, a: "y", b: 2, ...missing },
    ]);
    assert.deepEqual(Object.keys(rows[0] ?? {}), ["c", "a", "b", "d", "e", "f"]);
    const described = await fixture.query("DESCRIBE t", { tables });
    assert.deepEqual(
      described.map((row) => `${String(row["column_name"])} ${String(row["column_type"])}`),
      ["c BOOLEAN", "a VARCHAR", "b BIGINT", "d DOUBLE", "e TIMESTAMP WITH TIME ZONE", "f VARCHAR"],
    );
    assert.deepEqual(await fixture.query("SELECT count(*) AS n FROM t WHERE f IS NULL", { tables }), [{ n: 2 }]);
  });

  test("a renamed column is found by its field id, and a name that moved on is not confused", async () => {
    const file = await fixture.writeParquet("renamed.parquet", "SELECT 'one' AS a, 'two' AS b", { a: 1, b: 2 });
    const tables = [tableOf("t", schemaOf("b string 1", "c string 2", "a string 3"), [file])];
    assert.deepEqual(await fixture.query("SELECT * FROM t", { tables }), [{ b: "one", c: "two", a: null }]);
  });

  test("a table without files has its columns and no rows", async () => {
    const tables = [
      tableOf("Empty", schemaOf("timestamp timestamp", "id string", "v double", "n long", "b boolean", "j json"), []),
    ];
    assert.deepEqual(await fixture.query("SELECT count(*) AS n, max(v) AS v FROM empty", { tables }), [
      { n: 0, v: null },
    ]);
    assert.deepEqual(await fixture.query("SELECT * FROM EMPTY WHERE id = 'x'", { tables }), []);
    const described = await fixture.query("DESCRIBE empty", { tables });
    assert.deepEqual(
      described.map((row) => row["column_type"]),
      ["TIMESTAMP WITH TIME ZONE", "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR"],
    );
  });

  test("a long that became double keeps its fractions, under the same field id", async () => {
    const long = await fixture.writeParquet("same-long.parquet", "SELECT 3::BIGINT AS v", { v: 1 });
    const double = await fixture.writeParquet("same-double.parquet", "SELECT 1.7::DOUBLE AS v", { v: 1 });
    for (const files of [
      [long, double],
      [double, long],
    ]) {
      const tables = [tableOf("t", schemaOf("v double 1"), files)];
      const rows = await fixture.query("SELECT v FROM t ORDER BY v", { tables });
      assert.deepEqual(rows, [{ v: 1.7 }, { v: 3 }]);
      assert.deepEqual(await fixture.query("SELECT v FROM t WHERE v > 1.5 AND v < 2", { tables }), [{ v: 1.7 }]);
      assert.deepEqual(await fixture.query("SELECT sum(v) AS s FROM t", { tables }), [{ s: 4.7 }]);
    }
  });

  test("a long that became double under a new field id is one column with its old files", async () => {
    const old = await fixture.writeParquet(
      "replaced-old.parquet",
      "SELECT i::BIGINT AS v, i AS k FROM (VALUES (1), (2), (NULL)) x(i)",
      { v: 3, k: 1 },
    );
    const young = await fixture.writeParquet(
      "replaced-young.parquet",
      "SELECT i::DOUBLE AS v, 10 AS k FROM (VALUES (1.5), (NULL)) x(i)",
      { v: 5, k: 1 },
    );
    // The alias of the earlier half must not be a column's name.
    const schema = schemaOf("k long 1", "v double 5 3", "v_3 string 6", "V_3_ string 7");
    const tables = [tableOf("t", schema, [old, young])];
    const rows = await fixture.query("SELECT v, v_3 FROM t ORDER BY v NULLS LAST", { tables });
    assert.deepEqual(
      rows.map((row) => row["v"]),
      [1, 1.5, 2, null, null],
    );
    assert.deepEqual(await fixture.query("SELECT count(*) AS n FROM t WHERE v BETWEEN 1.2 AND 2.5", { tables }), [
      { n: 2 },
    ]);
    const [first] = await fixture.query("SELECT * FROM t LIMIT 1", { tables });
    assert.deepEqual(Object.keys(first ?? {}), ["k", "v", "v_3", "V_3_"]);
  });

  test("names of columns and files may hold every character", async () => {
    const names = [
      'q"uote',
      "s'ingle",
      "back\\slash",
      "br{a}ce",
      "com,ma",
      "eq=ual",
      "col:on",
      "NULL",
      " lead",
      "trail ",
      "[x]",
      "ünï 😀",
      "new\nline",
      "\\",
      'x\\"',
      "select",
      "-- x",
      ";",
    ];
    const select = `SELECT ${names.map((name, index) => `${index}::BIGINT AS ${quoteName(name)}`).join(", ")}`;
    const folder = join(fixture.warehouse, "day=2024-01-02");
    mkdirSync(folder);
    const fieldIds = Object.fromEntries(names.map((name, index) => [name, index + 1]));
    const file = await fixture
      .writeParquet("day=2024-01-02/od''d [x] *?.parquet", select, fieldIds)
      .then((path) => path.replace("''", "'"));
    const schema = {
      version: 1,
      lastFieldId: names.length,
      columns: names.map((name, index) => ({ fieldId: index + 1, name, type: "long" as const, required: false })),
    };
    const rows = await fixture.query("SELECT * FROM t", { tables: [tableOf("t", schema, [file])] });
    assert.deepEqual(rows, [Object.fromEntries(names.map((name, index) => [name, index]))]);
    assert.equal("day" in (rows[0] ?? {}), false, "no column out of the folder's name");
  });

  test("two snapshots of one table in turn and at once are not mixed up", async () => {
    const one = await fixture.writeParquet("snapshot-1.parquet", "SELECT 1::BIGINT AS v", { v: 1 });
    const two = await fixture.writeParquet("snapshot-2.parquet", "SELECT 2::BIGINT AS v", { v: 1 });
    const sum = async (files: readonly string[], slot: number): Promise<unknown> => {
      const rows = await fixture.query("SELECT sum(v) AS s FROM t", {
        tables: [tableOf("t", schemaOf("v long"), files)],
        slot,
      });
      return rows[0]?.["s"];
    };
    for (let round = 0; round < 5; round++) {
      const found = await Promise.all([sum([one], 0), sum([two], 1), sum([one, two], 2), sum([], 3)]);
      assert.deepEqual(found, [1, 2, 3, null]);
      assert.equal(await sum([two], 0), 2);
    }
  });
});
