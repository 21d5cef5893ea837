import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { rowErrorCodes, type RowErrorCode } from "../../shared/columns/row-account.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { idColumn } from "../../shared/schema/table-schema.js";
import { clearBit, isBitSet, setBit } from "./bulk-bits.js";
import { compactColumn } from "./bulk-compact.js";
import type { DecodeTarget } from "./decoder.js";

/** Offsets of a column are 32-bit. */
const columnTextBytesMax = 2 ** 31 - 1;

interface Reason {
  readonly code: RowErrorCode;
  readonly column: string | null;
  readonly message: string;
}

/**
 * Rows that are filled column by column: all of a body's (columnar MessagePack) or of a record batch (Arrow).
 *
 * Columns are written as if every row stood; rows that cannot are noted, and `take` at the end moves the others down
 * over them. So one bad value costs one row, and a body without any costs nothing here.
 *
 * ```
 * columns of the builder    [0, base) rows of earlier requests   [base, base + count) these   then nothing
 * ```
 * Until `take` the builder's rowCount stays at `base`, and the columns' lengths cover what has been written, so that
 * `rollback` undoes it at any time.
 */
export class BulkRows {
  readonly builder: BatchBuilder;
  readonly target: DecodeTarget;
  readonly base: number;
  readonly count: number;
  /** Per row the number of its reason in `#reasons`, 0 = it stands; made at the first reject. */
  #rejects: Uint32Array | null = null;
  /** Each reason once: a column has few ways to be wrong, however many rows are. [0] is no reason. */
  readonly #reasons: (Reason | null)[] = [null];
  #lastReason = 0;

  /** Throws BODY_TOO_LARGE for more rows than a body may have. */
  constructor(target: DecodeTarget, count: number) {
    if (target.account.rows + count > limits.bodyRowsMax) {
      const message = `the body has more than ${limits.bodyRowsMax} rows`;
      throw new MiniodbError("BODY_TOO_LARGE", message, { limitRows: limits.bodyRowsMax });
    }
    this.target = target;
    this.builder = target.builder;
    this.base = target.builder.rowCount;
    this.count = count;
  }

  /** The builder's column at `index`, with nulls up to `base` and room for all rows. */
  open(index: number): ColumnBuilder {
    const column = this.builder.columns[index] as ColumnBuilder;
    column.ensureRows(this.base + this.count);
    if (column.length < this.base) column.setNull(this.base - 1);
    return column;
  }

  /** Throws BODY_TOO_LARGE where `bytes` more of text from this row on may be more than a column can address. */
  checkText({ offsets }: ColumnBuilder, row: number, bytes: number): void {
    if (offsets.length === 0 || (offsets[this.base + row] as number) + bytes <= columnTextBytesMax) return;
    const message = `the texts of one column have more than ${columnTextBytesMax} bytes`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: columnTextBytesMax });
  }

  /** Notes that a row (from 0 in these rows) goes; the first reason counts. */
  reject(row: number, code: RowErrorCode, column: string | null, message: string = rowErrorCodes[code]): void {
    this.#rejects ??= new Uint32Array(this.count);
    if (this.#rejects[row] === 0) this.#rejects[row] = this.#reasonNumber({ code, column, message });
  }

  /** Fills defaults, drops the rejected rows, and adds the rest to builder and account. */
  take(): void {
    this.#checkIds();
    const kept = this.#compact();
    this.#fillTimestamps(kept);
    this.#fillIds(kept);
    this.builder.endRows(kept);
    this.#writeAccount();
  }

  #reasonNumber(reason: Reason): number {
    const last = this.#reasons[this.#lastReason];
    if (last?.code === reason.code && last.column === reason.column && last.message === reason.message) {
      return this.#lastReason;
    }
    // From the end, where the reasons of the column in hand are.
    const known = this.#reasons.findLastIndex((other) => {
      return other?.code === reason.code && other.column === reason.column && other.message === reason.message;
    });
    this.#lastReason = known >= 0 ? known : this.#reasons.push(reason) - 1;
    return this.#lastReason;
  }

  /** Ids that break the rule reject their row. An empty id is no id, as in the original API. */
  #checkIds(): void {
    const { base, count } = this;
    const { acceptsId, defaults } = this.target;
    const column = this.builder.columns[1] as ColumnBuilder;
    const mustHave = defaults.idRequired && defaults.generateId === null;
    if (column.length <= base) {
      if (mustHave) for (let row = 0; row < count; row++) this.reject(row, "ID_REQUIRED", idColumn);
      return;
    }
    const { offsets, text } = column;
    for (let row = 0; row < count; row++) {
      const start = offsets[base + row] as number;
      const end = offsets[base + row + 1] as number;
      if (end > start) {
        if (!acceptsId(text, start, end)) this.reject(row, "INVALID_ID", idColumn);
        continue;
      }
      if (column.validity === null || isBitSet(column.validity, base + row)) {
        clearBit(column.ensureValidity(), base + row);
        column.nullCount++;
      }
      if (mustHave) this.reject(row, "ID_REQUIRED", idColumn);
    }
  }

  /** Returns how many rows stand. */
  #compact(): number {
    const { base, count } = this;
    const rejects = this.#rejects;
    if (rejects === null) return count;
    for (const column of this.builder.columns) {
      if (column.length > base) compactColumn(column, { base, count, rejects });
    }
    let kept = 0;
    for (const reason of rejects) if (reason === 0) kept++;
    return kept;
  }

  #fillTimestamps(kept: number): void {
    const { base } = this;
    const column = this.builder.columns[0] as ColumnBuilder;
    const { receivedMicros } = this.target.defaults;
    const hi = Math.floor(receivedMicros / 0x1_0000_0000);
    const lo = (receivedMicros - hi * 0x1_0000_0000) | 0;
    const isMissing = column.length <= base;
    if (!isMissing && column.nullCount === 0) return;
    column.ensureRows(base + kept);
    const { ints, validity } = column;
    for (let row = base; row < base + kept; row++) {
      if (!isMissing) {
        if (validity === null || isBitSet(validity, row)) continue;
        setBit(validity, row);
        column.nullCount--;
      }
      ints[row * 2] = lo;
      ints[row * 2 + 1] = hi;
    }
    column.length = base + kept;
  }

  /** Ids for rows without one, where the table makes them. Texts lie in row order, so a gap means writing them anew. */
  #fillIds(kept: number): void {
    const { base } = this;
    const { generateId } = this.target.defaults;
    if (generateId === null) return;
    const column = this.builder.columns[1] as ColumnBuilder;
    const isMissing = column.length <= base;
    if (!isMissing && column.nullCount === 0) return;
    const start = isMissing ? 0 : (column.offsets[base] as number);
    const offsets = isMissing ? null : column.offsets.slice(base, base + kept + 1);
    const text = isMissing ? null : column.text.slice(start, column.offsets[base + kept]);
    if (!isMissing) column.truncate(base);
    for (let row = 0; row < kept; row++) {
      const from = offsets === null ? 0 : (offsets[row] as number) - start;
      const to = offsets === null ? 0 : (offsets[row + 1] as number) - start;
      if (text !== null && to > from) column.setText(base + row, text, from, to);
      else column.setString(base + row, generateId());
    }
  }

  /** Rows are counted in their order, so that each error gets its row's position. */
  #writeAccount(): void {
    const { account } = this.target;
    const rejects = this.#rejects;
    if (rejects === null) {
      account.accepted += this.count;
      return;
    }
    for (const number of rejects) {
      const reason = this.#reasons[number];
      if (reason === null || reason === undefined) account.accepted++;
      else account.reject(reason.code, reason.column, reason.message);
    }
  }
}
