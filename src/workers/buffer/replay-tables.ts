import { openDisk } from "../../shared/disk/open-disk.js";
import { lastRowOf } from "../../shared/formats/wal-batches-v1.js";
import { rowsRecordsOf, type RowsRecordPlace } from "../../shared/formats/wal-operations-v1.js";
import { parseRecordBatches } from "../../shared/formats/wal-record-v1-parse.js";
import type { OpenTable, ReplayGap } from "../../shared/messages.js";
import { readBatchDigests, replaySegments, type ReplayedRows } from "../wal/replay.js";
import { SequenceOrder } from "../wal/sequence-order.js";
import type { BufferedRecord } from "./table-buffer.js";
import type { TableOwner } from "./table-owner.js";

export interface TableReplay {
  readonly replayedRows: number;
  readonly gaps: readonly ReplayGap[];
}

/** Replayed records are durable: they came from the disk. */
const durablePosition = 0;

/**
 * Brings a worker's tables to where the log left them: the rows that no commit covers, the schema they were accepted
 * under, and the batch ids. A plain append: nothing is decided again. Rows of other workers' or dropped tables pass by.
 */
export function replayTables(
  walFolder: string,
  owners: ReadonlyMap<string, TableOwner>,
  tables: readonly OpenTable[],
): TableReplay {
  const disk = openDisk();
  const catalogSchemas = new Map(tables.map((table) => [table.identity.uuid, table.schema]));
  const orders = new Map<string, SequenceOrder<BufferedRecord>>();
  let replayedRows = 0;
  for (const [uuid, owner] of owners) {
    const deliver = (record: BufferedRecord, skipRows: number): void => {
      owner.buffer.appendReplayed(record, skipRows);
      replayedRows += record.rowCount - skipRows;
    };
    orders.set(uuid, new SequenceOrder(owner.buffer.flushedSequence, deliver));
  }
  // Digests are older than any segment: their ids come first.
  readBatchDigests(disk, walFolder, 0, ({ tableUuid, firstSequence, batch }) => {
    const lastSequence = firstSequence + lastRowOf(batch);
    const owner = owners.get(tableUuid);
    owner?.batchIds.remember(owner.slot, { entry: batch, lastSequence, logPosition: durablePosition });
  });
  replaySegments(disk, walFolder, {
    rows: (record) => {
      const owner = owners.get(record.tableUuid);
      if (owner === undefined) return;
      rememberBatches(owner, record);
      const order = orders.get(record.tableUuid);
      for (const place of rowsRecordsOf(record.bytes, record.at, record.header)) {
        const { firstSequence, rowCount } = place;
        if (rowCount > 0) order?.offer(firstSequence, rowCount, () => copyRecord(owner, record.bytes, place));
      }
    },
    schema: ({ tableUuid, schema }) => {
      const catalogSchema = catalogSchemas.get(tableUuid);
      if (catalogSchema !== undefined) owners.get(tableUuid)?.replaySchema(schema, catalogSchema);
    },
  });
  const gaps: ReplayGap[] = [];
  for (const [tableUuid, order] of orders) {
    for (const gap of order.finish()) gaps.push({ tableUuid, ...gap });
  }
  return { replayedRows, gaps };
}

function copyRecord(owner: TableOwner, bytes: Uint8Array, place: RowsRecordPlace): BufferedRecord {
  const { kind, at, length, firstSequence, rowCount } = place;
  const block = owner.arena.reserve(length);
  const offset = block.used;
  block.bytes.set(bytes.subarray(at, at + length), offset);
  block.used += length;
  return { kind, block, offset, length, firstSequence, rowCount, logPosition: durablePosition, createdMs: Date.now() };
}

function rememberBatches(owner: TableOwner, record: ReplayedRows): void {
  if (record.header.batchCount === 0) return;
  for (const entry of parseRecordBatches(record.bytes, record.at, record.header)) {
    const lastSequence = record.firstSequence + lastRowOf(entry);
    owner.batchIds.remember(owner.slot, { entry, lastSequence, logPosition: durablePosition });
  }
}
