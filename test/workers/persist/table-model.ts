import { BatchBuilder } from "../../../src/shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../../src/shared/columns/column-builder.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import type { RecordSlice } from "../../../src/shared/messages.js";
import type { ColumnType } from "../../../src/shared/schema/column-type.js";
import {
  columnByName,
  initialSchema,
  nameKey,
  withoutReplaced,
  type TableSchema,
} from "../../../src/shared/schema/table-schema.js";
import type { SeededRandom } from "../../harness/seeded-random.js";

/** long and timestamp as bigint (µs), double as number, string and json as text. */
export type ModelValue = bigint | number | boolean | string | null;

export interface ModelRow {
  readonly sequence: number;
  /** By lower-case column name; absent is null. */
  readonly values: ReadonlyMap<string, ModelValue>;
}

interface ModelRecord {
  readonly firstSequence: number;
  readonly rowCount: number;
  readonly bytes: Uint8Array;
}

const dayMicros = 86_400_000_000n;
const minLong = -(2n ** 63n);
const maxLong = 2n ** 63n - 1n;
const texts = [
  "",
  "a",
  "device-0001",
  "device-0002",
  "Grüße",
  "\u{1f600}\u{1f600}\u{1f600}\u{1f600}x",
  "z".repeat(40),
  "\u{10ffff}".repeat(5),
  "ÿ".repeat(9),
];

export interface RowShape {
  /** Rows lie within so many days from `firstDay`. */
  readonly days: number;
  readonly firstDay: number;
  readonly isAscending: boolean;
  readonly nullShare: number;
}

/**
 * A table as its ingest worker would fill it: random rows, the WAL records that hold them, and the plain values to
 * compare with. Columns may be added and widened between records.
 */
export class TableModel {
  readonly rows: ModelRow[] = [];
  readonly #random: SeededRandom;
  readonly #builder: BatchBuilder;
  readonly #records: ModelRecord[] = [];
  readonly #committed = new Set<number>();
  #lastMicros = 0n;
  #sequenceGap = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#builder = new BatchBuilder(initialSchema, {
      addColumns: true,
      columnsMax: 100,
      longMeetsDouble: "widen",
      isCommitted: (fieldId) => this.#committed.has(fieldId),
    });
  }

  get schema(): TableSchema {
    return this.#builder.schema;
  }

  get lastSequence(): number {
    return this.rows.at(-1)?.sequence ?? 0;
  }

  addColumn(name: string, type: ColumnType): void {
    this.#builder.addColumn(name, type);
    this.#builder.reset();
  }

  /** A long column becomes double, from the next record on. */
  widen(name: string): void {
    this.#builder.widenToDouble(this.#builder.indexOf(name));
  }

  typeOf(name: string): ColumnType | undefined {
    return columnByName(this.schema, name)?.type;
  }

  /** A flush takes the records: files may hold the field ids from now on. */
  beginFlush(): void {
    for (const { fieldId } of this.schema.columns) this.#committed.add(fieldId);
  }

  committed(schema: TableSchema): void {
    this.#builder.replaceSchema(withoutReplaced(this.schema, schema));
  }

  /** Loses the next sequences, as a damaged log does. */
  skip(sequences: number): void {
    this.#sequenceGap += sequences;
  }

  appendRecord(rowCount: number, shape: RowShape): void {
    const { columns } = this.schema;
    this.#lastMicros = shape.isAscending ? this.#lastMicros : 0n;
    const rows = Array.from({ length: rowCount }, () => {
      return columns.map((column, index): ModelValue => {
        if (index === 0) return this.#time(shape);
        return !column.required && this.#random.real() < shape.nullShare ? null : this.#value(column.type);
      });
    });
    this.#append(rows);
  }

  /** A record of rows that have these values in one column, and a time. */
  appendValues(name: string, values: readonly ModelValue[]): void {
    const { columns } = this.schema;
    const rowOf = (value: ModelValue): ModelValue[] =>
      columns.map((column, index) => (index === 0 ? 0n : column.name === name ? value : null));
    this.#append(values.map(rowOf));
  }

  #append(rows: readonly (readonly ModelValue[])[]): void {
    const builder = this.#builder;
    const { columns, version } = builder.schema;
    const firstSequence = this.lastSequence + 1 + this.#sequenceGap;
    this.#sequenceGap = 0;
    for (const [row, values] of rows.entries()) {
      for (const [index, value] of values.entries()) setValue(builder.columns[index] as ColumnBuilder, row, value);
      builder.endRow({ receivedMicros: 0, generateId: null, idRequired: false });
      const named = columns.map((column, index) => [nameKey(column.name), values[index] ?? null] as const);
      this.rows.push({ sequence: firstSequence + row, values: new Map(named) });
    }
    const batch = builder.finish();
    const bytes = new Uint8Array(recordBytes(batch, []));
    const tableUuid = "00000000-0000-4000-8000-000000000000";
    encodeRowsRecord(bytes, 0, { tableUuid, firstSequence, schemaVersion: version, batch, batches: [] });
    this.#records.push({ firstSequence, rowCount: rows.length, bytes });
    builder.reset();
    builder.rowCount = 0;
  }

  /** The records that hold rows of (after, last], laid out over a few blocks, now and then several to a span. */
  slice(after: number, last: number): RecordSlice {
    const wanted = this.#records.filter(
      ({ firstSequence, rowCount }) => firstSequence + rowCount - 1 > after && firstSequence <= last,
    );
    const blocks: SharedArrayBuffer[] = [];
    const spans: number[] = [];
    for (let start = 0; start < wanted.length;) {
      const count = 1 + this.#random.integer(4);
      const group = wanted.slice(start, start + count);
      start += count;
      const lead = 8 * this.#random.integer(3);
      const length = group.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const block = new SharedArrayBuffer(lead + length);
      let at = lead;
      for (const { bytes } of group) {
        new Uint8Array(block).set(bytes, at);
        at += bytes.length;
      }
      if (this.#random.real() < 0.5) spans.push(blocks.length, lead, length);
      else {
        at = lead;
        for (const { bytes } of group) {
          spans.push(blocks.length, at, bytes.length);
          at += bytes.length;
        }
      }
      blocks.push(block);
    }
    return { blocks, spans: Int32Array.from(spans) };
  }

  rowsIn(after: number, last: number): ModelRow[] {
    return this.rows.filter(({ sequence }) => sequence > after && sequence <= last);
  }

  #time({ days, firstDay, isAscending }: RowShape): bigint {
    const start = BigInt(firstDay) * dayMicros;
    if (isAscending) {
      const step = (BigInt(days) * dayMicros) / 50_000n;
      this.#lastMicros =
        (this.#lastMicros === 0n ? start : this.#lastMicros) + BigInt(this.#random.integer(Number(step)));
      return this.#lastMicros;
    }
    const day = start + BigInt(this.#random.integer(days)) * dayMicros;
    return (
      day +
      this.#random.pick([
        0n,
        dayMicros - 1n,
        BigInt(this.#random.integer(1000)),
        BigInt(Math.floor(this.#random.real() * 86_400_000_000)),
      ])
    );
  }

  #value(type: ColumnType): ModelValue {
    const random = this.#random;
    switch (type) {
      case "boolean":
        return random.real() < 0.5;
      case "long":
        return random.pick([
          BigInt(random.integer(10)),
          BigInt(random.integer(2 ** 31)) - 2n ** 30n,
          minLong,
          maxLong,
          2n ** 53n + 1n,
        ]);
      case "double":
        return random.pick([
          random.integer(1000) / 100,
          random.real() * 1e18,
          -random.real(),
          -0,
          5e-324,
          1.7976931348623157e308,
        ]);
      case "string":
        return random.real() < 0.7 ? random.pick(texts) : `unique ${random.integer(1e9)}`;
      case "timestamp":
        return BigInt(random.integer(2 ** 31)) * 1_000_000n;
      case "json":
        return JSON.stringify({ a: random.integer(10), b: ["x", null] });
    }
  }
}

function setValue(column: ColumnBuilder, row: number, value: ModelValue): void {
  if (value === null) return;
  if (typeof value === "bigint") {
    column.setLong(row, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  } else if (typeof value === "number") column.setDouble(row, value);
  else if (typeof value === "boolean") column.setBoolean(row, value);
  else column.setString(row, value);
}
