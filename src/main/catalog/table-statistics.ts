import { MiniodbError } from "../../shared/errors.js";
import { liveRowsOf, storedBytesOf } from "../../shared/iceberg/live-rows.js";
import type { BufferedRows } from "../../shared/table-messages.js";
import { timestampFieldId } from "../../shared/schema/table-schema.js";
import type { OwnerQuestions } from "./owner-questions.js";
import type { TableEntry } from "./table-entry.js";

/** What is in a table, as of one moment. */
export interface TableStatistics {
  /** All that a query sees: committed, and not yet. */
  readonly rows: number;
  /** Of the store: data files, and the bytes of these and of their delete files. */
  readonly files: number;
  readonly bytes: number;
  /** Of `rows`, those that are not in the store yet, and the bytes of their log records. */
  readonly unflushedRows: number;
  readonly unflushedBytes: number;
  /**
   * Smallest and largest `timestamp`, µs since 1970; null while the table is empty, or no file says so. May be
   * those of a deleted row until a merge has written its file anew.
   */
  readonly oldestMicros: bigint | null;
  readonly newestMicros: bigint | null;
}

/** Questions before a table that is flushed all the time is described as it is. */
const roundsMax = 5;

/**
 * Counts committed files and the owner's buffer together. A flush between question and answer would have its rows
 * counted twice or not at all: then the owner is asked again. Where buffered rows take the place of others, a query counts:
 * `countRows` gives the rows that a query of the table sees.
 */
export async function tableStatistics(
  entry: TableEntry,
  owners: OwnerQuestions,
  countRows: (table: string) => Promise<number>,
): Promise<TableStatistics> {
  const { uuid } = entry.identity;
  for (let round = 1; ; round++) {
    if (entry.ackedSequence <= entry.flushedSequence) return combine(entry, nothingBuffered(entry.flushedSequence));
    const { buffered } = await owners.ask(entry, "measured", (ticket) => ({ kind: "measure-rows", ticket, uuid }));
    if (buffered === null) throw new MiniodbError("TABLE_NOT_FOUND", `Table ${entry.name} was dropped`);
    if (buffered.flushedSequence !== entry.flushedSequence && round < roundsMax) continue;
    const statistics = combine(entry, buffered);
    return buffered.isReplacing ? { ...statistics, rows: await countRows(entry.name) } : statistics;
  }
}

function nothingBuffered(flushedSequence: number): BufferedRows {
  return { flushedSequence, rows: 0, bytes: 0, oldestMicros: null, newestMicros: null, isReplacing: false };
}

function combine(entry: TableEntry, buffered: BufferedRows): TableStatistics {
  const { files } = entry.state;
  let rows = buffered.rows;
  let bytes = 0;
  const times: string[] = [];
  const note = (time: unknown): void => {
    if (typeof time === "string") times.push(time);
  };
  note(buffered.oldestMicros);
  note(buffered.newestMicros);
  for (const file of files) {
    rows += liveRowsOf(file);
    bytes += storedBytesOf(file);
    note(file.bounds[timestampFieldId]?.lower);
    note(file.bounds[timestampFieldId]?.upper);
  }
  let oldestMicros: bigint | null = null;
  let newestMicros: bigint | null = null;
  for (const text of times) {
    const micros = BigInt(text);
    if (oldestMicros === null || micros < oldestMicros) oldestMicros = micros;
    if (newestMicros === null || micros > newestMicros) newestMicros = micros;
  }
  const unflushed = { unflushedRows: buffered.rows, unflushedBytes: buffered.bytes };
  return { rows, files: files.length, bytes, ...unflushed, oldestMicros, newestMicros };
}
