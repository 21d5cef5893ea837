import { BatchBuilder, type RowDefaults } from "../../shared/columns/batch-builder.js";
import type { ColumnBuilder } from "../../shared/columns/column-builder.js";
import { RowAccount } from "../../shared/columns/row-account.js";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { initialSchema } from "../../shared/schema/table-schema.js";
import { openDecode } from "../decode/formats.js";
import { acceptsAnyId } from "./id-rule.js";

/** The ids of the rows that were accepted, in their order; those of a reader stay until it reads the next body. */
export interface ReadIds {
  readonly account: RowAccount;
  readonly count: number;
  /** Row n of it is id n. */
  readonly column: ColumnBuilder;
}

/** Whatever else a row says is passed over, and makes no column. */
const rules = {
  addColumns: false,
  ignoreUnknown: true,
  columnsMax: limits.columnsMax,
  longMeetsDouble: "reject",
  isCommitted: () => true,
} as const;

/** What a batch of deletes says: of its rows, in whatever format, the ids alone. */
export class IdReader {
  readonly #builder = new BatchBuilder(initialSchema, rules);

  /**
   * Reads all ids of a body whose content encoding has been undone; ids that the table's rule would not take are fine, as
   * rows may be from before the rule. Throws BODY_TOO_LARGE, and what the format's decoder throws.
   */
  read(body: Uint8Array, request: { readonly format: number; readonly table: string }): ReadIds {
    if (body.length > limits.deleteBodyBytesMax) {
      const message = `A batch of deletes has at most ${limits.deleteBodyBytesMax} bytes`;
      throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: limits.deleteBodyBytesMax });
    }
    const builder = this.#builder;
    builder.reset();
    const account = new RowAccount(limits.rowErrorsMax);
    const decoding = openDecode(request.format, false, body, {
      builder,
      account,
      table: request.table,
      defaults: { receivedMicros: 0, generateId: null, idRequired: true },
      acceptsId: acceptsAnyId,
      valueBytesMax: limits.valueBytesMax,
      depthMax: limits.valueDepthMax,
    });
    try {
      while (!decoding.step(body.length + 1));
    } catch (error) {
      builder.rollback(0);
      throw error;
    }
    return { account, count: builder.rowCount, column: builder.columns[1] as ColumnBuilder };
  }
}

/** As rows of the builder that have nothing but their id, and the time of arrival. */
export function appendIds(builder: BatchBuilder, { count, column }: ReadIds, defaults: RowDefaults): void {
  const ids = builder.columns[1] as ColumnBuilder;
  for (let row = 0; row < count; row++) {
    ids.setText(builder.rowCount, column.text, column.offsets[row] as number, column.offsets[row + 1] as number);
    builder.endRow(defaults);
  }
}

/** As texts, for main. Throws BODY_TOO_LARGE for more than it takes. */
export function textsOfIds({ count, column }: ReadIds): string[] {
  if (count > limits.deleteBatchIdsMax) {
    const message = `A batch of deletes that are counted has at most ${limits.deleteBatchIdsMax} ids`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitRows: limits.deleteBatchIdsMax });
  }
  const text = Buffer.from(column.text.buffer, column.text.byteOffset, column.text.length);
  return Array.from({ length: count }, (_, row) => text.toString("utf8", column.offsets[row], column.offsets[row + 1]));
}
