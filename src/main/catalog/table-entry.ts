import { assert } from "../../shared/assert.js";
import type { TableIdentity, TableState } from "../../shared/messages.js";
import { withoutReplaced, type TableSchema } from "../../shared/schema/table-schema.js";
import { tokenPrefix } from "../../shared/sequence-token.js";
import type { AcknowledgedTable } from "../write/write-path.js";
import type { HotSegment } from "./hot-segment.js";

/**
 * One table as main sees it: what the store holds (`state`), what local hot segments hold, and how far the log is
 * acknowledged.
 *
 * ```
 *  sequences:  1 ......... flushed ......... sealed ......... acked
 *              in state.files │ in `hot`      │ in the ingest worker's buffer only
 * ```
 * Changes happen in one turn of the event loop, so that a query never sees half of a flush.
 */
export class TableEntry implements AcknowledgedTable {
  readonly slot: number;
  /** The ingest worker that owns it. */
  readonly worker: number;
  readonly tokenPrefix: string;
  readonly stream: string;
  state: TableState;
  /** The newest schema that was seen: with columns that no commit holds yet. */
  schema: TableSchema;
  /** In sequence order, without gaps, from flushedSequence + 1 on. */
  hot: readonly HotSegment[] = [];
  ackedSequence: number;
  flushedSequence: number;
  /** A flush has taken the rows up to here: a hot segment ends here or lies on one side of it. */
  flushBoundary: number;
  bufferedBytes = 0;
  bufferedRows = 0;
  oldestMs = 0;
  /** When rows came last, as far as this run of the server knows; 0: none did. */
  lastWriteMs = 0;
  /** The last row that its owner has reported. */
  reportedSequence: number;
  /** Deletes, and flushes that replace, which look for rows in the files that there are: no merge starts until they are done. */
  deletesUnderWay = 0;
  isDropped = false;

  constructor(state: TableState, place: { readonly slot: number; readonly worker: number; readonly stream: string }) {
    this.slot = place.slot;
    this.worker = place.worker;
    this.stream = place.stream;
    this.state = state;
    this.schema = state.schema;
    this.flushedSequence = state.positions[place.stream] ?? 0;
    this.flushBoundary = this.flushedSequence;
    this.ackedSequence = this.flushedSequence;
    this.reportedSequence = this.flushedSequence;
    this.tokenPrefix = tokenPrefix(place.stream, state.identity.uuid);
  }

  get identity(): TableIdentity {
    return this.state.identity;
  }

  get name(): string {
    return this.state.identity.name;
  }

  /** Everything up to here is in the store or in hot segments. */
  get sealedSequence(): number {
    return this.hot.at(-1)?.lastSequence ?? this.flushedSequence;
  }

  /** A commit of ours: the new state, and the hot segments that it made superfluous, in one step. */
  adopt(state: TableState, flushedSequence: number): void {
    const gone = this.hot.filter((segment) => segment.lastSequence <= flushedSequence);
    this.hot = this.hot.filter((segment) => segment.lastSequence > flushedSequence);
    this.state = this.isDropped ? withoutFiles(state) : state;
    this.noteSchema(state.schema);
    this.schema = withoutReplaced(this.schema, state.schema);
    this.flushedSequence = flushedSequence;
    this.ackedSequence = Math.max(this.ackedSequence, flushedSequence);
    for (const segment of gone) segment.release();
  }

  /** Schemas come from the owner with its records, and from commits: the newest counts. */
  noteSchema(schema: TableSchema): void {
    if (schema.version > this.schema.version) this.schema = schema;
  }

  /** True when every segment is inside this one's range of sequences or outside it. */
  fitsHot(segment: HotSegment): boolean {
    return this.hot.every((other) => isInside(other, segment) || isApart(other, segment));
  }

  /** Puts the segment in, in place of those inside its range. */
  replaceHot(segment: HotSegment): void {
    assert(this.fitsHot(segment), "hot segments never overlap");
    const gone = this.hot.filter((other) => isInside(other, segment));
    const kept = this.hot.filter((other) => isApart(other, segment));
    this.hot = [...kept, segment].toSorted((left, right) => left.firstSequence - right.firstSequence);
    for (const other of gone) other.release();
  }

  /** The table was dropped: what grows with it is let go, as its slot, and so this entry, stays for good. */
  retire(): void {
    this.isDropped = true;
    this.state = withoutFiles(this.state);
    for (const segment of this.hot) segment.release();
    this.hot = [];
  }
}

function withoutFiles(state: TableState): TableState {
  return { ...state, files: [] };
}

function isInside(inner: HotSegment, outer: HotSegment): boolean {
  return inner.firstSequence >= outer.firstSequence && inner.lastSequence <= outer.lastSequence;
}

function isApart(one: HotSegment, other: HotSegment): boolean {
  return one.lastSequence < other.firstSequence || one.firstSequence > other.lastSequence;
}
