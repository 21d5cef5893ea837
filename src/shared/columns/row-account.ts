/** Why one row was not taken. The list is closed; the sentence beside it carries the particulars. */
export const rowErrorCodes = {
  INVALID_JSON: "the row is not valid JSON",
  INVALID_ROW: "the row is not an object, or has another number of fields than the header",
  INVALID_UTF8: "a text is not valid UTF-8",
  TYPE_MISMATCH: "the value does not fit the column's type",
  NUMBER_OUT_OF_RANGE: "an integer does not fit 64 bits, or a number is not finite",
  INVALID_TIMESTAMP: "the timestamp is neither RFC 3339 text nor an epoch number",
  TIMESTAMP_OUT_OF_RANGE: "the timestamp is outside years 1 to 9999",
  INVALID_ID: "the id breaks the table's id rule",
  ID_REQUIRED: "the row has no id, and the table does not generate one",
  INVALID_OPERATION: "_op is neither insert, replace (upsert, update) nor delete, nor one of the letters c, r, u and d",
  INVALID_COLUMN_NAME: "the key cannot be a column name",
  UNKNOWN_COLUMN: "the table takes no new columns",
  TOO_MANY_COLUMNS: "the table has as many columns as the limit allows",
  VALUE_TOO_LARGE: "the value is longer than the limit",
} as const;

export type RowErrorCode = keyof typeof rowErrorCodes;

export interface RowError {
  /** Position of the row in the request, from 0. */
  readonly row: number;
  /** Null where the whole row is at fault. */
  readonly column: string | null;
  readonly code: RowErrorCode;
  readonly message: string;
}

/** A key that cannot be a column name may be as long as the body, and errors go into replies and the log. */
const columnCharsMax = 255;
/** To begin with. */
const rejectedBitsBytes = 64;

/** The full account of one request: every row is in exactly one of the two counts. */
export class RowAccount {
  accepted = 0;
  rejected = 0;
  /** The first errors only; `rejected` counts them all. */
  readonly errors: RowError[] = [];
  /** The rejected rows as NDJSON for the table of dead letters; null where nobody asked for them, or there are none. */
  letters: string | null = null;
  /** Errors that are kept. */
  readonly errorsMax: number;
  /** Bit per row, where somebody wants to know which ones were rejected; else null. A body may have millions of such rows. */
  #rejectedBits: Uint8Array | null = null;

  constructor(errorsMax: number) {
    this.errorsMax = errorsMax;
  }

  /** Number of rows seen so far, which is the position of the next. */
  get rows(): number {
    return this.accepted + this.rejected;
  }

  /** From now on it is known of each row whether it was rejected. */
  noteRejected(): void {
    this.#rejectedBits ??= new Uint8Array(rejectedBitsBytes);
  }

  /** Whether the row at this position was rejected by `reject`, since `noteRejected`. */
  isRejected(row: number): boolean {
    return ((this.#rejectedBits?.[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;
  }

  /** Keeps the rejected rows, of which a reply then lists fewer. */
  keepLetters(letters: string, errorsMax: number): void {
    this.letters = letters === "" ? null : letters;
    this.errors.splice(errorsMax);
  }

  reject(code: RowErrorCode, column: string | null, message?: string): void {
    if (this.errors.length < this.errorsMax) {
      const name = column === null ? null : column.slice(0, columnCharsMax);
      this.errors.push({ row: this.rows, column: name, code, message: message ?? rowErrorCodes[code] });
    }
    if (this.#rejectedBits !== null) this.#rejectedBits = withBit(this.#rejectedBits, this.rows);
    this.rejected++;
  }

  /**
   * So many rows that were counted as accepted are rejected after all. `late` are their errors in the order of the rows, the
   * first `errorsMax` of them at least.
   */
  rejectAccepted(count: number, late: readonly RowError[]): void {
    this.accepted -= count;
    this.rejected += count;
    const all = [...this.errors, ...late].toSorted((left, right) => left.row - right.row);
    this.errors.splice(0, this.errors.length, ...all.slice(0, this.errorsMax));
  }
}

/** Sets the bit, in more memory where there is none for it. */
function withBit(bits: Uint8Array, bit: number): Uint8Array {
  const index = bit >> 3;
  let grown = bits;
  if (index >= bits.length) {
    grown = new Uint8Array(Math.max(index + 1, bits.length * 2));
    grown.set(bits);
  }
  grown[index] = (grown[index] as number) | (1 << (bit & 7));
  return grown;
}
