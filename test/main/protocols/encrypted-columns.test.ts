import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  encryptionChange,
  refuseSorted,
  schemaWithEncrypted,
  takeEncryptedColumns,
} from "../../../src/main/protocols/encrypted-columns.js";
import { type ErrorCode, MiniodbError } from "../../../src/shared/errors.js";
import { withEncryptedColumns, withEncryptionOf } from "../../../src/shared/iceberg/column-encryption.js";
import { fromIcebergSchema, toIcebergSchema } from "../../../src/shared/iceberg/schema-json.js";
import {
  applyOperations,
  type SchemaFacts,
  type SchemaOperation,
} from "../../../src/shared/schema/schema-operations.js";
import { columnByName, initialSchema, type TableSchema, withColumn } from "../../../src/shared/schema/table-schema.js";

const nothing: SchemaFacts = { hasValues: () => false, isCommitted: () => false, sortOrder: [] };
let base = withColumn(initialSchema, "n", "long");
base = withColumn(base, "email", "string");
base = withColumn(base, "tags", "json");

function refused(work: () => unknown, pattern: RegExp, code: ErrorCode = "INVALID_REQUEST"): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof MiniodbError && error.code === code, String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

function encrypted(schema: TableSchema, names: readonly string[], facts = nothing): TableSchema {
  return applyOperations(schema, [encryptionChange(names)], facts);
}

function change(schema: TableSchema, ...operations: readonly SchemaOperation[]): TableSchema {
  return applyOperations(schema, operations, nothing);
}

function encryptionOf(schema: TableSchema, name: string) {
  return columnByName(schema, name)?.encryption;
}

describe("encrypted_columns", () => {
  test("is taken out of the config; null and an empty list are no columns", () => {
    assert.deepEqual(takeEncryptedColumns({ mode: "upsert" }, false), { config: { mode: "upsert" }, names: null });
    assert.deepEqual(takeEncryptedColumns({ mode: "upsert", encrypted_columns: ["a"] }, true), {
      config: { mode: "upsert" },
      names: ["a"],
    });
    for (const none of [null, []]) {
      assert.deepEqual(takeEncryptedColumns({ encrypted_columns: none }, false), { config: {}, names: [] });
    }
    assert.deepEqual(takeEncryptedColumns(undefined, true), { config: undefined, names: null });
    for (const wrong of ["a", [1], [""], ["a", "A"], {}, Array.from({ length: 101 }, (_, index) => `c${index}`)]) {
      refused(() => takeEncryptedColumns({ encrypted_columns: wrong }, true), /encrypted_columns must be a list/);
    }
    refused(() => takeEncryptedColumns({ encrypted_columns: ["a"] }, false), /no key/, "COLUMN_LOCKED");
  });

  test("only texts are encrypted, and nothing that rows are found or sorted by", () => {
    for (const name of ["timestamp", "ID"]) refused(() => encrypted(base, [name]), /cannot be encrypted/);
    refused(() => encrypted(base, ["n"]), /long, not string or json/);
    refused(() => encrypted(base, ["email"], { ...nothing, sortOrder: ["EMAIL"] }), /sorted by email/);
    refused(() => schemaWithEncrypted(["host"], { sortOrder: ["host"] }), /sorted by host/);
    refused(() => schemaWithEncrypted(["timestamp"], {}), /cannot be encrypted/);
    refused(() => refuseSorted(encrypted(base, ["email"]), ["timestamp", "EMAIL"]), /not sorted by it/);
    refuseSorted(base, ["email"]);
  });

  test("a new column is encrypted from its first value on, an old one may have plain values", () => {
    const created = schemaWithEncrypted(["email", "ssn"], {});
    assert.deepEqual(
      created.columns.map(({ name, type, encryption }) => [name, type, encryption?.mayBePlain]),
      [
        ["timestamp", "timestamp", undefined],
        ["id", "string", undefined],
        ["email", "string", false],
        ["ssn", "string", false],
      ],
    );
    assert.notEqual(encryptionOf(created, "email")?.scope, encryptionOf(created, "ssn")?.scope);
    assert.equal(schemaWithEncrypted([], {}), initialSchema);
    assert.equal(encryptionOf(encrypted(base, ["tags"]), "tags")?.mayBePlain, false);
    for (const facts of [{ hasValues: () => true }, { isCommitted: () => true }]) {
      assert.equal(encryptionOf(encrypted(base, ["tags"], { ...nothing, ...facts }), "tags")?.mayBePlain, true);
    }
  });

  test("the list is the whole of it; what was encrypted once keeps its scope", () => {
    const on = encrypted(base, ["EMAIL", "tags"]);
    const scope = encryptionOf(on, "email")?.scope;
    assert.match(scope ?? "", /^[0-9a-f]{16}$/);
    assert.equal(encrypted(on, ["tags", "email"]), on);
    const off = encrypted(on, ["tags"]);
    assert.deepEqual(encryptionOf(off, "email"), { scope, isOn: false, mayBePlain: true });
    assert.equal(encryptionOf(off, "tags")?.isOn, true);
    assert.deepEqual(encryptionOf(encrypted(off, ["email"]), "email"), { scope, isOn: true, mayBePlain: true });
    assert.equal(off.version, on.version + 1);
  });

  test("it stays with a column that is renamed or moved; such a column is not dropped and takes no other type", () => {
    const on = encrypted(base, ["email"]);
    const renamed = change(
      on,
      { kind: "rename", name: "email", to: "mail" },
      { kind: "move", name: "mail", after: { kind: "first" } },
    );
    assert.deepEqual(encryptionOf(renamed, "mail"), encryptionOf(on, "email"));
    assert.ok(encryptionOf(change(on, { kind: "type", name: "email", type: "json" }), "email")?.isOn);
    refused(() => change(on, { kind: "type", name: "email", type: "long" }), /string or json/);
    refused(() => change(on, { kind: "drop", name: "email" }), /take it out of encrypted_columns/);
    assert.equal(columnByName(change(encrypted(on, []), { kind: "drop", name: "email" }), "email"), undefined);
  });

  test("the table's properties bring it back, for the schemas of snapshots too", () => {
    const on = encrypted(base, ["email"]);
    const properties = withEncryptedColumns({ other: "x" }, on);
    const stored = (schema: TableSchema): TableSchema => {
      return withEncryptionOf(properties, fromIcebergSchema(toIcebergSchema(schema), schema.lastFieldId));
    };
    assert.deepEqual(stored(on), on);
    assert.deepEqual(encryptionOf(stored(base), "email"), encryptionOf(on, "email"));
    assert.equal(withEncryptedColumns(properties, base), properties);
    const off = encrypted(on, []);
    assert.deepEqual(withEncryptionOf(withEncryptedColumns(properties, off), base).columns, off.columns);
    assert.throws(() => withEncryptionOf({ "miniodb.encrypted-columns": "{" }, base), MiniodbError);
  });
});
