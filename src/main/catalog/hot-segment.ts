import { unlink } from "node:fs";
import type { ReplacedIds } from "../../shared/messages.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";

/**
 * A small Parquet file on local disk with unflushed rows (firstSequence..lastSequence) of one table, and the ids whose rows
 * before it do not count any more. Immutable. Without a row there is no file at `path`.
 */
export class HotSegment {
  readonly path: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly rows: number;
  readonly bytes: number;
  /** What its rows were written under. */
  readonly schema: TableSchema;
  /** Ids of which it takes the rows before it out; null: none. */
  readonly replaced: ReplacedIds | null;
  #uses = 1;

  constructor(segment: HotSegmentFields) {
    this.path = segment.path;
    this.firstSequence = segment.firstSequence;
    this.lastSequence = segment.lastSequence;
    this.rows = segment.rows;
    this.bytes = segment.bytes;
    this.schema = segment.schema;
    this.replaced = segment.replaced ?? null;
  }

  /** A query reads it: the file stays until `release`. */
  retain(): void {
    this.#uses++;
  }

  /** One user less; the last one (the table's own list counts as one) removes the file. */
  release(): void {
    this.#uses--;
    // A file that stays behind is removed at the next start: hot segments are rebuilt from the log.
    if (this.#uses > 0) return;
    unlink(this.path, () => {});
    if (this.replaced !== null) unlink(this.replaced.path, () => {});
  }
}

interface HotSegmentFields {
  readonly path: string;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly rows: number;
  readonly bytes: number;
  readonly schema: TableSchema;
  readonly replaced?: ReplacedIds | null;
}
