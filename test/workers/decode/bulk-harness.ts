import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { BatchBuilder, type ColumnRules, type RowDefaults } from "../../../src/shared/columns/batch-builder.js";
import type { ColumnBatch, ColumnData } from "../../../src/shared/columns/column-batch.js";
import { RowAccount } from "../../../src/shared/columns/row-account.js";
import { MiniodbError, type ErrorCode } from "../../../src/shared/errors.js";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import { initialSchema, withColumn, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import type { Decode, DecodeTarget } from "../../../src/workers/decode/decoder.js";

/** What tests may want otherwise than the defaults of `newTarget`. */
export interface TargetOptions {
  /** Columns beside timestamp and id. */
  readonly columns?: Readonly<Record<string, ColumnType>>;
  readonly rules?: Partial<ColumnRules>;
  readonly defaults?: Partial<RowDefaults>;
  readonly acceptsId?: DecodeTarget["acceptsId"];
  readonly valueBytesMax?: number;
  readonly depthMax?: number;
  readonly errorsMax?: number;
  /** Another request's rows that are in the builder already. */
  readonly earlierRows?: number;
}

export const receivedMicros = 1_700_000_000_000_000;

export function newTarget(options: TargetOptions = {}): DecodeTarget {
  let schema: TableSchema = initialSchema;
  for (const [name, type] of Object.entries(options.columns ?? {})) schema = withColumn(schema, name, type);
  const builder = new BatchBuilder(schema, {
    addColumns: true,
    columnsMax: 2_000,
    longMeetsDouble: "widen",
    isCommitted: () => false,
    ...options.rules,
  });
  const defaults = { receivedMicros, generateId: null, idRequired: false, ...options.defaults };
  for (let row = 0; row < (options.earlierRows ?? 0); row++) {
    builder.endRow({ receivedMicros: 1, generateId: () => `earlier-${row}`, idRequired: false });
  }
  return {
    builder,
    account: new RowAccount(options.errorsMax ?? 100),
    defaults,
    acceptsId: options.acceptsId ?? ((source, start, end) => !source.subarray(start, end).includes(0x20)),
    valueBytesMax: options.valueBytesMax ?? 16 * 1024 * 1024,
    depthMax: options.depthMax ?? 64,
  };
}

/** Decodes the body in slices of `sliceBytes`, as the ingest worker does: undone where it throws. */
export function decodeAll(decode: Decode, body: Uint8Array, target: DecodeTarget, sliceBytes = 1024 * 1024): void {
  const { account, builder } = target;
  const rowStart = builder.rowCount;
  const acceptedBefore = account.accepted;
  try {
    const decoding = decode(body, target);
    // Every step takes a byte at least; anything else would never end.
    for (let steps = 0; !decoding.step(sliceBytes); steps++) assert.ok(steps <= body.length + 10, "decoding goes on");
  } catch (error) {
    builder.rollback(rowStart);
    throw error;
  }
  assert.equal(builder.rowCount - rowStart, account.accepted - acceptedBefore, "every accepted row is in the builder");
}

/** The error that the body is refused with. */
export function refusal(decode: Decode, body: Uint8Array, target: DecodeTarget = newTarget()): MiniodbError {
  try {
    decodeAll(decode, body, target);
  } catch (error) {
    if (error instanceof MiniodbError) return error;
    throw error;
  }
  assert.fail("the body is not refused");
}

/** True where the body is taken; false where it is refused with one of the codes; anything else fails the test. */
export function isTaken(decode: Decode, body: Uint8Array, target: DecodeTarget, codes: readonly ErrorCode[]): boolean {
  try {
    decodeAll(decode, body, target);
    return true;
  } catch (error) {
    if (error instanceof MiniodbError && codes.includes(error.code)) return false;
    throw error;
  }
}

export type Row = Record<string, unknown>;

/** The builder's rows: long and timestamp (µs) as bigint, JSON text parsed, nulls left out. Checks the columns first. */
export function rowsOf({ builder }: DecodeTarget): Row[] {
  const batch = builder.finish();
  assertSound(batch);
  const rows: Row[] = Array.from({ length: batch.rowCount }, () => ({}));
  for (const column of batch.columns) {
    const name = builder.schema.columns.find(({ fieldId }) => fieldId === column.fieldId)?.name ?? "?";
    for (const [index, row] of rows.entries()) {
      const value = valueAt(column, index);
      if (value !== null) row[name] = value;
    }
  }
  return rows;
}

/** The rows without the timestamps, for bodies that name none. */
export function payloadsOf(target: DecodeTarget): Row[] {
  return rowsOf(target).map((row) => {
    const { timestamp, ...rest } = row;
    assert.equal(typeof timestamp, "bigint", "every row has a timestamp");
    return rest;
  });
}

/** One column of the rows; null where a row has no value. */
export function valuesOf(target: DecodeTarget, name = "x"): unknown[] {
  return rowsOf(target).map((row) => row[name] ?? null);
}

/** Row, column and code of the errors in the account. */
export function codesOf({ account }: DecodeTarget): unknown[] {
  return account.errors.map(({ row, column, code }) => [row, column, code]);
}

/** The type of each of the table's columns. */
export function typesOf({ builder }: DecodeTarget): Record<string, ColumnType> {
  return Object.fromEntries(builder.schema.columns.slice(2).map(({ name, type }) => [name, type]));
}

function valueAt({ type, validity, values, offsets }: ColumnData, row: number): unknown {
  if (validity !== null && ((validity[row >> 3] as number) & (1 << (row & 7))) === 0) return null;
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const text = (): string => Buffer.from(values.slice(offsets?.[row], offsets?.[row + 1])).toString("utf8");
  switch (type) {
    case "boolean":
      return ((values[row >> 3] as number) & (1 << (row & 7))) !== 0;
    case "long":
    case "timestamp":
      return view.getBigInt64(row * 8, true);
    case "double":
      return view.getFloat64(row * 8, true);
    case "string":
      return text();
    case "json":
      return JSON.parse(text()) as unknown;
  }
}

const microsMin = -62_135_596_800_000_000n;
const microsMax = 253_402_300_799_999_999n;

/** What every reader of a batch relies on. */
export function assertSound(batch: ColumnBatch): void {
  for (const column of batch.columns) {
    const { type, nullCount, validity, values, offsets } = column;
    let nulls = 0;
    let previousEnd = 0;
    for (let row = 0; row < batch.rowCount; row++) {
      const value = valueAt(column, row);
      if (value === null) nulls++;
      if (type === "double") assert.ok(value === null || Number.isFinite(value), "doubles are finite");
      if (type === "timestamp") {
        assert.ok(value === null || ((value as bigint) >= microsMin && (value as bigint) <= microsMax));
      }
      if (offsets === null) continue;
      const end = offsets[row + 1] as number;
      assert.equal(offsets[row], previousEnd, "texts follow each other");
      assert.ok(end >= previousEnd && end <= values.length, "offsets never decrease");
      assert.ok(isUtf8(values.slice(previousEnd, end)), "texts are UTF-8");
      previousEnd = end;
    }
    assert.equal(nullCount, nulls, "nulls are counted");
    assert.equal(validity === null, nulls === 0, "a bitmap where there are nulls");
    const valueBits = type === "boolean" ? 1 : 64;
    if (offsets === null) assert.equal(values.length, (batch.rowCount * valueBits + 7) >> 3);
  }
}

/** The same bytes in memory that threads share, 8 bytes off its start. */
export function shared(body: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(body.length + 8), 8);
  copy.set(body);
  return copy;
}

/** Seeds fast-check, from MINIODB_TEST_SEED or fixed; failures print seed and path. */
export function propertyRuns(runs: number): { readonly numRuns: number; readonly seed: number } {
  const factor = Number(process.env["MINIODB_TEST_ROUNDS"] ?? "1");
  return { numRuns: runs * factor, seed: Number(process.env["MINIODB_TEST_SEED"] ?? "20261122") };
}
