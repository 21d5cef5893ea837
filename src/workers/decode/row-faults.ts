import { rowErrorCodes, type RowAccount, type RowErrorCode } from "../../shared/columns/row-account.js";
import type { BatchBuilder } from "../../shared/columns/batch-builder.js";
import { idColumn } from "../../shared/schema/table-schema.js";
import type { DecodeTarget } from "./decoder.js";

interface Fault {
  readonly name: string;
  readonly code: RowErrorCode;
  readonly message: string;
}

/** Stands for every key that is at fault itself: the first is enough. */
const keyFault = -1;

/**
 * What is wrong with the row in hand. It is not decided before the row's end: the row has to be walked to its end
 * anyway, and a key that comes again replaces its earlier value together with that value's fault.
 */
export class RowFaults {
  /** By position of the column, in the order in which they came. */
  readonly #faults = new Map<number, Fault>();

  get any(): boolean {
    return this.#faults.size > 0;
  }

  /** The value of the column at `index` does not stand. Its builder holds no value of this row. */
  addValue(index: number, name: string, code: RowErrorCode, message: string = rowErrorCodes[code]): void {
    this.#faults.set(index, { name, code, message });
  }

  /** A key has no column. */
  addKey(name: string, code: RowErrorCode, message: string = rowErrorCodes[code]): void {
    if (!this.#faults.has(keyFault)) this.#faults.set(keyFault, { name, code, message });
  }

  /** The column's value was replaced by null. */
  forget(index: number): void {
    this.#faults.delete(index);
  }

  clear(): void {
    // Clearing an empty Map makes a new one inside.
    if (this.#faults.size > 0) this.#faults.clear();
  }

  /** Takes the row in hand, or rejects and undoes it; true when it was taken. */
  endRow({ account, builder, defaults }: DecodeTarget): boolean {
    if (this.#faults.size > 0 && this.reject(builder, account)) return false;
    const refusal = builder.endRow(defaults);
    if (refusal === undefined) account.accepted++;
    else account.reject(refusal, idColumn);
    return refusal === undefined;
  }

  /** Rejects the row in hand for the first fault that no later value has replaced; false when there is none. */
  reject(builder: BatchBuilder, account: RowAccount): boolean {
    const fault = this.#standing(builder);
    this.#faults.clear();
    if (fault === undefined) return false;
    builder.abortRow();
    account.reject(fault.code, fault.name === "" ? null : fault.name, fault.message);
    return true;
  }

  #standing(builder: BatchBuilder): Fault | undefined {
    for (const [index, fault] of this.#faults) {
      if (index === keyFault || (builder.columns[index]?.length ?? 0) <= builder.rowCount) return fault;
    }
    return undefined;
  }
}
