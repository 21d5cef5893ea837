import assert from "node:assert/strict";
import { test } from "node:test";
import { RowAccount, rowErrorCodes } from "../../../src/shared/columns/row-account.js";

test("every row is in one of the two counts, and errors name its position", () => {
  const account = new RowAccount(10);
  account.accepted++;
  account.reject("TYPE_MISMATCH", "x", "a sentence");
  account.accepted++;
  account.reject("INVALID_JSON", null);
  assert.deepEqual([account.accepted, account.rejected, account.rows], [2, 2, 4]);
  assert.deepEqual(account.errors, [
    { row: 1, column: "x", code: "TYPE_MISMATCH", message: "a sentence" },
    { row: 3, column: null, code: "INVALID_JSON", message: rowErrorCodes.INVALID_JSON },
  ]);
});

test("errors are listed to a bound and counted beyond", () => {
  const account = new RowAccount(3);
  for (let row = 0; row < 100; row++) account.reject("INVALID_ROW", null);
  assert.equal(account.errors.length, 3);
  assert.equal(account.rejected, 100);
});

test("it is known which rows were rejected, however many", () => {
  const account = new RowAccount(3);
  account.noteRejected();
  const rejected = new Set<number>();
  for (let row = 0; row < 10_000; row++) {
    if (row % 7 === 0 || (row > 3000 && row < 5000)) {
      rejected.add(row);
      account.reject("INVALID_ROW", null);
    } else account.accepted++;
  }
  for (let row = 0; row < 10_100; row++) assert.equal(account.isRejected(row), rejected.has(row), `row ${row}`);
});
