import type { ColumnType } from "./column-type.js";

/**
 * What makes a column's values secret at rest. It stays with the column when that is renamed, and in a copy of the table that
 * a restore makes; a column that has it once has it for good, as old files may hold values that must be decrypted.
 */
export interface ColumnEncryption {
  /** 16 hex digits, random: the scope of its values, see encryption/column-keys.ts. */
  readonly scope: string;
  /** New values are encrypted. */
  readonly isOn: boolean;
  /**
   * Values from before, or from while it was off, may lie there as they are. Where none may, a text that is not encrypted is an
   * error: nobody without the key can put one in.
   */
  readonly mayBePlain: boolean;
}

/** True where some values are secret: no copy of the rows may be made beside the table. */
export function hasEncrypted(columns: readonly { readonly encryption?: ColumnEncryption }[]): boolean {
  return columns.some(({ encryption }) => encryption !== undefined);
}

/** Values are texts, so that other engines read the table's files as they do any. */
export function canBeEncrypted(type: ColumnType): boolean {
  return type === "string" || type === "json";
}
