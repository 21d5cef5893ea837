/** Bloom filters on the ids of data files, for tables that want them (`bloom_filter`). */
import type { DuckDBConnection } from "@duckdb/node-api";
import { assert } from "../../shared/assert.js";
import { idFieldId } from "../../shared/schema/table-schema.js";
import { columnBytes, gatherSlackBytes, gatherTexts, textLengths, textWidth } from "../query/result-vectors.js";
import { BloomFilterAppender, hasBloomFilters } from "./append-bloom-filters.js";
import { BloomFilter } from "./bloom-filter.js";
import { rowsSql, withDuckDB, type FileCopy } from "./duckdb-copy.js";
import type { PersistContext } from "./persist-context.js";

/**
 * Gives the ids of a finished local file a Bloom filter per row group; nothing happens to a file without ids. It is asked
 * when a query names one id: row groups, and files, that cannot have it are not decoded.
 *
 * DuckDB's own writer makes filters for columns with a dictionary only, which ids that differ have none of. With its limits
 * raised until they have one (DICTIONARY_SIZE_LIMIT, which is for all columns alike) a file of 1 M rows of an id, a host and
 * two doubles was 1.46 times as large and took twice as long. So the ids are read back from the file that is there, in the
 * order of its rows, in whatever encoding they have.
 */
export async function addIdFilters(
  context: PersistContext,
  path: string,
  { columns, schema }: Pick<FileCopy, "columns" | "schema">,
): Promise<void> {
  const id = columns.find(({ fieldId }) => fieldId === idFieldId);
  // DuckDB makes filters of its own where ids repeat enough for a dictionary; a join has brought those of its sources.
  if (id === undefined || hasBloomFilters(path, idFieldId)) return;
  const appender = new BloomFilterAppender(path, idFieldId);
  try {
    const filters = new GroupFilters(appender);
    const sql = rowsSql({ columns: [id], schema, sources: [path] });
    // In one thread: rows come in the order of the file.
    await withDuckDB(context, (connection) => readIds(connection, sql, filters));
    filters.end();
    appender.finish();
  } finally {
    appender.close();
  }
}

/** Takes texts in the order of the rows, and writes a filter whenever a row group has its rows. */
class GroupFilters {
  readonly #appender: BloomFilterAppender;
  #filter: BloomFilter;
  #group = 0;
  #rowsLeft: number;

  constructor(appender: BloomFilterAppender) {
    this.#appender = appender;
    this.#rowsLeft = this.#rowsOf(0);
    this.#filter = new BloomFilter(this.#rowsLeft);
  }

  /** The next rows' ids, one behind the other. Where there is none the empty text stands for it, which does no harm. */
  addAll(view: DataView, lengths: Uint32Array, rows: number): void {
    let at = 0;
    for (let row = 0; row < rows; row++) {
      if (this.#rowsLeft === 0) this.#next();
      this.#rowsLeft--;
      const end = at + (lengths[row] as number);
      this.#filter.add(view, at, end);
      at = end;
    }
  }

  /** After the last row. A stream that broke off, even between two row groups, must not pass for one that ended. */
  end(): void {
    const { groupRows } = this.#appender;
    assert(this.#rowsLeft === 0 && this.#group >= groupRows.length - 1, "the file has as many ids as rows");
    if (groupRows.length > 0) this.#appender.append(this.#filter);
  }

  #next(): void {
    this.#appender.append(this.#filter);
    this.#rowsLeft = this.#rowsOf(++this.#group);
    assert(this.#rowsLeft > 0, "the file has as many ids as rows");
    this.#filter = new BloomFilter(this.#rowsLeft);
  }

  #rowsOf(group: number): number {
    return this.#appender.groupRows[group] ?? 0;
  }
}

/** Texts as DuckDB has them, without a JavaScript value for each. */
async function readIds(connection: DuckDBConnection, sql: string, filters: GroupFilters): Promise<void> {
  const result = await connection.stream(sql);
  let lengths = new Uint32Array(0);
  let texts = new Uint8Array(0);
  // While one chunk is hashed the next one is decoded, on a thread of libuv.
  let coming = result.fetchChunk();
  try {
    for (let chunk = await coming; chunk !== null && chunk.rowCount > 0; chunk = await coming) {
      coming = result.fetchChunk();
      const rows = chunk.rowCount;
      if (lengths.length < rows) lengths = new Uint32Array(rows);
      const ids = columnBytes(chunk, 0, textWidth);
      const bytes = textLengths(ids, rows, lengths);
      if (texts.length < bytes + gatherSlackBytes) texts = new Uint8Array((bytes + gatherSlackBytes) * 2);
      gatherTexts(ids, rows, lengths, texts);
      filters.addAll(new DataView(texts.buffer, 0, bytes), lengths, rows);
    }
  } finally {
    // Nothing of the stream runs on when its DuckDB is closed.
    await coming.catch(() => {});
  }
}
