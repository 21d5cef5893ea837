import type { ColumnBatch, ColumnData } from "../../../src/shared/columns/column-batch.js";
import { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import type { BatchEntry } from "../../../src/shared/formats/wal-batches-v1.js";
import { columnTypes, type ColumnType } from "../../../src/shared/schema/column-type.js";
import type { SeededRandom } from "../../harness/seeded-random.js";

export const tableUuid = "01890a5d-ac96-774b-bcce-b302099a8057";

/** Every type, with and without nulls, text of several bytes per letter, two batch entries. */
export function smallBatch(): { batch: ColumnBatch; batches: BatchEntry[] } {
  const timestamp = new ColumnBuilder(1, "timestamp");
  const id = new ColumnBuilder(2, "string");
  const long = new ColumnBuilder(3, "long");
  const double = new ColumnBuilder(4, "double");
  const flag = new ColumnBuilder(5, "boolean");
  const json = new ColumnBuilder(7, "json");
  for (let row = 0; row < 3; row++) {
    timestamp.setSafeInteger(row, 1_700_000_000_000_000 + row);
    id.setString(row, `id-${row}-ü€`);
    if (row !== 1) long.setLong(row, -row, row === 0 ? 0 : -1);
    double.setDouble(row, row / 3);
    if (row === 2) flag.setBoolean(row, true);
    if (row === 0) json.setString(row, '{"a":[1]}');
  }
  const columns = [timestamp, id, long, double, flag, json].map((column) => column.finish(3));
  const batches: BatchEntry[] = [
    {
      key: "alice\0batch-1",
      bodyHash: hashOf(1),
      accepted: 2,
      rejected: 1,
      firstRow: 0,
      createdMs: 1_700_000_000_123,
      errorsJson: '[{"row":1}]',
    },
    {
      key: "\0ü",
      bodyHash: hashOf(9),
      accepted: 1,
      rejected: 0,
      firstRow: 2,
      createdMs: 1_700_000_000_124.5,
      errorsJson: "",
    },
  ];
  // Copies: a builder's unused bits and bytes are not part of the format.
  return { batch: { rowCount: 3, columns: columns.map(canonical) }, batches };
}

function hashOf(start: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => (start + i) & 0xff);
}

/** Clears the bits behind the last row, which builders leave as they fall. */
function canonical(column: ColumnData): ColumnData {
  if (column.validity === null) return column;
  const validity = new Uint8Array(column.validity);
  const last = validity.length - 1;
  validity[last] = (validity[last] as number) & 0x07;
  return { ...column, validity };
}

export function randomBatch(random: SeededRandom, shape: { rowCount?: number; columns?: number } = {}): ColumnBatch {
  const rowCount = shape.rowCount ?? (random.integer(4) === 0 ? random.integer(3_000) : random.integer(20));
  const count = shape.columns ?? random.integer(12);
  const columns: ColumnData[] = [];
  for (let i = 0; i < count; i++) {
    const type = columnTypes[random.integer(columnTypes.length)] as ColumnType;
    const column = new ColumnBuilder(i + 1 + random.integer(2) * 1000, type);
    const nulls = random.integer(3);
    for (let row = 0; row < rowCount; row++) {
      if (nulls === 2 || (nulls === 1 && random.integer(3) === 0)) continue;
      setRandom(column, row, random);
    }
    columns.push(shifted(column.finish(rowCount), random));
  }
  return { rowCount, columns };
}

function setRandom(column: ColumnBuilder, row: number, random: SeededRandom): void {
  if (column.type === "boolean") column.setBoolean(row, random.integer(2) === 1);
  else if (column.type === "double") column.setDouble(row, random.real() * 1e6 - 5e5);
  else if (column.type === "long" || column.type === "timestamp") {
    column.setLong(row, random.integer(2 ** 32) | 0, random.integer(2 ** 32) | 0);
  } else column.setString(row, "aé€😀".repeat(random.integer(12)).slice(random.integer(3)).toWellFormed());
}

/** Now and then text that does not start at 0, as in a slice of a larger column. */
function shifted(column: ColumnData, random: SeededRandom): ColumnData {
  if (column.offsets === null || random.integer(2) === 0) return column;
  const by = 1 + random.integer(9);
  const values = new Uint8Array(column.values.length + by).fill(0x7e);
  values.set(column.values, by);
  return { ...column, values, offsets: column.offsets.map((offset) => offset + by) };
}

export function randomBatchEntries(random: SeededRandom, rowCount: number): BatchEntry[] {
  return Array.from({ length: random.integer(3) === 0 ? random.integer(5) : 0 }, (): BatchEntry => ({
    key: `p${random.integer(9)}\0${"ß".repeat(random.integer(120))}`,
    bodyHash: hashOf(random.integer(256)),
    accepted: random.integer(2 ** 32),
    rejected: random.integer(100),
    firstRow: random.integer(rowCount + 1),
    createdMs: Math.floor(random.real() * 2e12),
    errorsJson:
      random.integer(2) === 0
        ? ""
        : JSON.stringify([{ row: random.integer(100), message: "ü".repeat(random.integer(50)) }]),
  }));
}

/** Rows as plain values, for comparison. */
export function materialise(batch: ColumnBatch): unknown[] {
  return batch.columns.map((column) => ({
    fieldId: column.fieldId,
    type: column.type,
    nullCount: column.nullCount,
    values: Array.from({ length: batch.rowCount }, (_, row) => valueAt(column, row)),
  }));
}

function valueAt(column: ColumnData, row: number): unknown {
  if (column.validity !== null && ((column.validity[row >> 3] as number) & (1 << (row & 7))) === 0) return null;
  const { values, offsets } = column;
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  if (offsets !== null) return Buffer.from(values.subarray(offsets[row], offsets[row + 1])).toString("utf8");
  if (column.type === "boolean") return ((values[row >> 3] as number) & (1 << (row & 7))) !== 0;
  if (column.type === "double") return view.getFloat64(row * 8, true);
  return view.getBigInt64(row * 8, true);
}
