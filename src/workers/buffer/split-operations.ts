import type { ColumnData } from "../../shared/columns/column-batch.js";
import { IdTable } from "../../shared/columns/id-table.js";
import { rowErrorCodes, type RowAccount, type RowError, type RowErrorCode } from "../../shared/columns/row-account.js";
import { idColumn } from "../../shared/schema/table-schema.js";
import type { AcceptsId } from "./id-rule.js";

/** The field of a row that says what it does, in batches of mode `operations`. */
export const operationColumn = "_op";

const acts = { rejected: 0, insert: 1, replace: 2, delete: 3 } as const;
type Act = (typeof acts)[keyof typeof acts];

/** In lower case; letters are those of Debezium, whose `r` is a row of its first snapshot. */
const words: readonly { readonly bytes: Uint8Array; readonly act: Act }[] = [
  ...wordsOf(acts.insert, ["insert", "c", "r"]),
  ...wordsOf(acts.replace, ["replace", "upsert", "update", "u"]),
  ...wordsOf(acts.delete, ["delete", "d"]),
];
/** So many rows are looked at in one step, which takes 10 to 20 ms. */
const rowsPerStep = 32 * 1024;
/** Of a wrong word, in its error. */
const shownBytesMax = 40;

/** What the table and its settings say of rows in a batch of operations. */
export interface OperationRules {
  /** A row without a word of its own, and an insert too, replaces: the table is of mode `upsert`. */
  readonly isUpsert: boolean;
  readonly canMakeIds: boolean;
  readonly idRequired: boolean;
  /** For ids of rows that stay; a delete may name an id from before the rule. */
  readonly acceptsId: AcceptsId;
}

/** The rows of a batch by what they do; a null in `ids` is no id, texts of `words` are in any case. */
export interface OperationRows {
  readonly rowCount: number;
  readonly ids: ColumnData | undefined;
  readonly words: ColumnData | undefined;
}

/** Row numbers, ascending; those in none of the lists were rejected, or undone by a later row of their id. */
export interface SplitRows {
  readonly tombstones: Uint32Array;
  readonly replacing: Uint32Array;
  readonly inserts: Uint32Array;
}

/**
 * Sorts a batch into what has to be done, and rejects in `account` (which knows its rejected rows) what makes no sense.
 * Rows of different ids do not touch each other, and of one id only what comes from its last replace or delete on is left:
 *
 * ```
 * row     0 insert a   1 insert b   2 delete a   3 insert a   4 replace b   5 insert c   6 delete c
 * last cut of its id                a: 2                      b: 4                       c: 6
 *         undone       undone       tombstone    insert       replacing     undone       tombstone
 * ```
 * So all tombstones, then all replacing rows, then all inserts, do the same as the rows in their order. In steps, as a batch may
 * have millions of rows, and its thread other tables.
 */
export function* splitOperations(
  rows: OperationRows,
  rules: OperationRules,
  account: RowAccount,
): Generator<void, SplitRows> {
  const { rowCount, ids } = rows;
  const actOf = yield* readActs(rows, rules, account);
  let cuts = 0;
  for (const act of actOf) if (act > acts.insert) cuts++;
  const lastCuts = new IdTable(cuts);
  const offsets = ids?.offsets ?? new Int32Array(0);
  for (let row = 0; ids !== undefined && row < rowCount; row++) {
    if (row % rowsPerStep === 0) yield;
    if ((actOf[row] as number) <= acts.insert) continue;
    lastCuts.put(ids.values, offsets[row] as number, offsets[row + 1] as number, row + 1);
  }
  const lists: Record<Exclude<Act, 0>, Uint32Array> = {
    [acts.insert]: new Uint32Array(rowCount - cuts),
    [acts.replace]: new Uint32Array(cuts),
    [acts.delete]: new Uint32Array(cuts),
  };
  const counts = { [acts.insert]: 0, [acts.replace]: 0, [acts.delete]: 0 };
  for (let row = 0; row < rowCount; row++) {
    if (row % rowsPerStep === 0) yield;
    const act = actOf[row] as Act;
    if (act === acts.rejected) continue;
    const lastCut =
      ids === undefined || !isPresent(ids, row)
        ? 0
        : lastCuts.sequenceOf(ids.values, offsets[row] as number, offsets[row + 1] as number);
    if (row + 1 >= lastCut) lists[act][counts[act]++] = row;
  }
  return {
    tombstones: lists[acts.delete].subarray(0, counts[acts.delete]),
    replacing: lists[acts.replace].subarray(0, counts[acts.replace]),
    inserts: lists[acts.insert].subarray(0, counts[acts.insert]),
  };
}

/** What each row does, and the rows that do nothing for their errors. */
function* readActs(rows: OperationRows, rules: OperationRules, account: RowAccount): Generator<void, Uint8Array> {
  const { rowCount, words: column } = rows;
  const actOf = new Uint8Array(rowCount);
  const late: RowError[] = [];
  let count = 0;
  let rejectedBefore = 0;
  for (let row = 0; row < rowCount; row++) {
    if (row % rowsPerStep === 0) yield;
    while (account.isRejected(row + rejectedBefore)) rejectedBefore++;
    let act: Act = column !== undefined && isPresent(column, row) ? readWord(column, row) : acts.insert;
    if (act === acts.insert && rules.isUpsert) act = acts.replace;
    const fault = act === acts.rejected ? wrongWord(column, row) : faultOfId(rows.ids, row, act, rules);
    if (fault === null) {
      actOf[row] = act;
      continue;
    }
    count++;
    if (late.length < account.errorsMax) late.push({ row: row + rejectedBefore, ...fault });
  }
  if (count > 0) account.rejectAccepted(count, late);
  return actOf;
}

type Fault = Omit<RowError, "row">;

function faultOfId(ids: ColumnData | undefined, row: number, act: Act, rules: OperationRules): Fault | null {
  if (ids === undefined || !isPresent(ids, row)) {
    if (act !== acts.insert) return fault("ID_REQUIRED", idColumn, "a row that replaces or deletes names its id");
    return rules.idRequired && !rules.canMakeIds ? fault("ID_REQUIRED", idColumn) : null;
  }
  if (act === acts.delete) return null;
  const start = ids.offsets?.[row] ?? 0;
  const end = ids.offsets?.[row + 1] ?? 0;
  return rules.acceptsId(ids.values, start, end) ? null : fault("INVALID_ID", idColumn);
}

function wrongWord(column: ColumnData | undefined, row: number): Fault {
  const start = column?.offsets?.[row] ?? 0;
  const end = Math.min(column?.offsets?.[row + 1] ?? 0, start + shownBytesMax);
  const word = Buffer.from(column?.values.subarray(start, end) ?? []).toString("utf8");
  return fault("INVALID_OPERATION", operationColumn, `${rowErrorCodes.INVALID_OPERATION}: ${JSON.stringify(word)}`);
}

function fault(code: RowErrorCode, column: string, message: string = rowErrorCodes[code]): Fault {
  return { code, column, message };
}

function readWord({ values, offsets }: ColumnData, row: number): Act {
  const start = offsets?.[row] ?? 0;
  const length = (offsets?.[row + 1] ?? 0) - start;
  for (const { bytes, act } of words) {
    if (bytes.length !== length) continue;
    let at = 0;
    // The bit by which ASCII's cases differ.
    while (at < length && ((values[start + at] as number) | 0x20) === bytes[at]) at++;
    if (at === length) return act;
  }
  return acts.rejected;
}

function isPresent({ validity }: ColumnData, row: number): boolean {
  return validity === null || ((validity[row >> 3] as number) & (1 << (row & 7))) !== 0;
}

function wordsOf(act: Act, texts: readonly string[]): { readonly bytes: Uint8Array; readonly act: Act }[] {
  return texts.map((text) => ({ bytes: new TextEncoder().encode(text), act }));
}
