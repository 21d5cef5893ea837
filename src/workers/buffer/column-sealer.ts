import type { ColumnBatch } from "../../shared/columns/column-batch.js";
import type { ColumnCipher, ColumnKeys } from "../../shared/encryption/column-keys.js";
import { MiniodbError } from "../../shared/errors.js";
import { sealColumn, sealedColumnBytes } from "../../shared/formats/sealed-value-v1.js";
import { limits } from "../../shared/limits.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";

/**
 * Encrypts a table's columns on their way from the builder into the record, which log, hot segments and files are made of: no
 * plain value leaves this thread. A table without encrypted columns costs one comparison per record and per request.
 */
export class ColumnSealer {
  readonly #keys: ColumnKeys;
  /** What the rest was derived of. */
  #schema: TableSchema | null = null;
  /** By field id; null where nothing is encrypted. */
  #ciphers: ReadonlyMap<number, ColumnCipher> | null = null;
  /** A column that is encrypted, and no key for it. */
  #lockedColumn: string | null = null;

  constructor(keys: ColumnKeys) {
    this.#keys = keys;
  }

  /** Throws COLUMN_LOCKED where rows under this schema cannot be taken, as this node has no key. */
  check(schema: TableSchema): void {
    if (schema !== this.#schema) this.#derive(schema);
    if (this.#lockedColumn === null) return;
    const message = `Column ${this.#lockedColumn} is encrypted, and this node has no key: see encryption.keyFile`;
    throw new MiniodbError("COLUMN_LOCKED", message, { column: this.#lockedColumn });
  }

  /** Throws BODY_TOO_LARGE where the batch would outgrow what a batch may be, as short values grow to several times their size. */
  checkSize(batch: ColumnBatch, schema: TableSchema): void {
    if (schema !== this.#schema) this.#derive(schema);
    if (this.#ciphers === null) return;
    let bytes = 0;
    for (const column of batch.columns) if (this.#ciphers.has(column.fieldId)) bytes += sealedColumnBytes(column);
    if (bytes <= limits.batchBytesMax) return;
    const message = `The body's encrypted columns take more than ${limits.batchBytesMax} bytes`;
    throw new MiniodbError("BODY_TOO_LARGE", message, { limitBytes: limits.batchBytesMax });
  }

  /** The batch as it goes to disk; the same one where nothing is encrypted. */
  seal(batch: ColumnBatch, schema: TableSchema): ColumnBatch {
    if (schema !== this.#schema) this.#derive(schema);
    const ciphers = this.#ciphers;
    if (ciphers === null) return batch;
    const columns = batch.columns.map((column) => {
      const cipher = ciphers.get(column.fieldId);
      return cipher === undefined ? column : sealColumn(column, cipher);
    });
    return { ...batch, columns };
  }

  #derive(schema: TableSchema): void {
    this.#schema = schema;
    this.#ciphers = null;
    this.#lockedColumn = null;
    const ciphers = new Map<number, ColumnCipher>();
    for (const { fieldId, name, encryption } of schema.columns) {
      if (encryption?.isOn !== true) continue;
      const cipher = this.#keys.newest(encryption.scope);
      if (cipher === undefined) this.#lockedColumn = name;
      else ciphers.set(fieldId, cipher);
    }
    if (ciphers.size > 0) this.#ciphers = ciphers;
  }
}
