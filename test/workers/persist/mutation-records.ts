import { BatchBuilder } from "../../../src/shared/columns/batch-builder.js";
import { encodeRowsRecord, recordBytes } from "../../../src/shared/formats/wal-record-v1-encode.js";
import { isRowsKind, recordKinds, type RowsKind } from "../../../src/shared/formats/wal-record-v1.js";
import type { RecordSlice } from "../../../src/shared/messages.js";
import { initialSchema, withColumn, type TableSchema } from "../../../src/shared/schema/table-schema.js";
import type { SeededRandom } from "../../harness/seeded-random.js";

export interface MutationRow {
  /** Null in plain records only. */
  readonly id: string | null;
  readonly n: number;
  readonly dayMs: number;
}

export interface LivingRow extends MutationRow {
  readonly sequence: number;
}

const tableUuid = "00000000-0000-4000-8000-000000000000";
const kinds = Object.values(recordKinds).filter((kind) => isRowsKind(kind));

/** A table's log with rows, rows that replace, and tombstones, and which rows live. */
export class MutationLog {
  readonly schema: TableSchema = withColumn(initialSchema, "n", "long");
  living: LivingRow[] = [];
  lastSequence = 0;
  /** Rows that are in the store; the next flush begins here. */
  flushedSequence = 0;
  readonly #records: { readonly bytes: Uint8Array; readonly first: number; readonly last: number }[] = [];

  append(kind: RowsKind, rows: readonly MutationRow[]): void {
    const rules = { addColumns: true, columnsMax: 10, longMeetsDouble: "widen", isCommitted: () => true } as const;
    const builder = new BatchBuilder(this.schema, rules);
    const firstSequence = this.lastSequence + 1;
    for (const [row, { id, n, dayMs }] of rows.entries()) {
      if (id !== null) builder.columns[1]?.setString(row, id);
      if (kind !== recordKinds.tombstones) builder.columns[2]?.setSafeInteger(row, n);
      builder.endRow({ receivedMicros: dayMs * 1000, generateId: null, idRequired: false });
      this.lastSequence++;
      if (kind !== recordKinds.rows) this.living = this.living.filter((known) => known.id !== id);
      if (kind !== recordKinds.tombstones) this.living.push({ id, n, dayMs, sequence: this.lastSequence });
    }
    const batch = builder.finish();
    const bytes = new Uint8Array(recordBytes(batch, []));
    const { version } = this.schema;
    encodeRowsRecord(bytes, 0, { kind, tableUuid, firstSequence, schemaVersion: version, batch, batches: [] });
    this.#records.push({ bytes, first: firstSequence, last: this.lastSequence });
  }

  /** A record of any kind, its ids out of few. */
  appendRandom(random: SeededRandom, ids: readonly string[]): void {
    const kind = random.pick(kinds);
    const rows = Array.from({ length: 1 + random.integer(6) }, (): MutationRow => {
      const id = kind === recordKinds.rows && random.integer(5) === 0 ? null : random.pick(ids);
      return { id, n: random.integer(1000), dayMs: Date.UTC(2026, 0, 1 + random.integer(3)) };
    });
    this.append(kind, rows);
  }

  /** The records with rows of (after, last], one block each. */
  slice(after: number, last: number): RecordSlice {
    const wanted = this.#records.filter((record) => record.last > after && record.first <= last);
    const blocks = wanted.map(({ bytes }) => {
      const block = new SharedArrayBuffer(bytes.length);
      new Uint8Array(block).set(bytes);
      return block;
    });
    return { blocks, spans: Int32Array.from(wanted.flatMap(({ bytes }, index) => [index, 0, bytes.length])) };
  }
}
