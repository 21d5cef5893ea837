/**
 * `encrypted_columns` of a table's config: the names of columns whose values are encrypted at rest. It is no setting but part
 * of the schema, so that it follows a column through renames and is in the log before the first row that it is about.
 */
import { randomBytes } from "node:crypto";
import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { applyOperations, type SchemaOperation } from "../../shared/schema/schema-operations.js";
import { columnByName, initialSchema, nameKey, type TableSchema } from "../../shared/schema/table-schema.js";
import type { TableSettings } from "../../shared/schema/table-settings.js";
import type { TableEntry } from "../catalog/table-entry.js";
import { configOfSettings } from "./table-config.js";

const field = "encrypted_columns";
const scopeBytes = 8;

export interface TakenConfig {
  /** All else of it. */
  readonly config: unknown;
  /** Null where the config does not name the key; empty: no column. */
  readonly names: readonly string[] | null;
}

/** Throws INVALID_REQUEST for other than a list of names, and COLUMN_LOCKED for names where there are no keys. */
export function takeEncryptedColumns(config: unknown, hasColumnKeys: boolean): TakenConfig {
  const isObject = typeof config === "object" && config !== null && !Array.isArray(config);
  if (!isObject || !Object.hasOwn(config, field)) return { config, names: null };
  const { [field]: given, ...rest } = config as Readonly<Record<string, unknown>>;
  const names: unknown = given ?? [];
  const isList = Array.isArray(names) && names.every((name) => typeof name === "string" && name !== "");
  const namesMax = limits.schemaOperationsMax;
  if (!isList || names.length > namesMax || new Set(names.map(nameKey)).size < names.length) {
    const message = `${field} must be a list of at most ${namesMax} columns, each once`;
    throw new MiniodbError("INVALID_REQUEST", message, { field });
  }
  if (names.length > 0 && !hasColumnKeys) {
    const message = "this node has no key to encrypt columns with: see encryption.keyFile";
    throw new MiniodbError("COLUMN_LOCKED", message, { field });
  }
  return { config: rest, names };
}

/** Makes these the encrypted columns, and no others. */
export function encryptionChange(names: readonly string[]): SchemaOperation {
  const columns = names.map((name) => ({ name, scope: randomBytes(scopeBytes).toString("hex") }));
  return { kind: "encrypt", columns };
}

/** Of a new table. Throws INVALID_REQUEST for `timestamp`, `id`, a column that it is sorted by, and what is no column name. */
export function schemaWithEncrypted(names: readonly string[], settings: TableSettings): TableSchema {
  return applyOperations(initialSchema, [encryptionChange(names)], {
    hasValues: () => false,
    isCommitted: () => false,
    sortOrder: settings.sortOrder ?? [],
  });
}

/** Cipher texts are in no order that is of use. Throws INVALID_REQUEST. */
export function refuseSorted(schema: TableSchema, sortOrder: readonly string[]): void {
  const name = sortOrder.find((sorted) => columnByName(schema, sorted)?.encryption?.isOn === true);
  if (name === undefined) return;
  throw new MiniodbError("INVALID_REQUEST", `column ${name} is encrypted: a table is not sorted by it`, {
    field: "sort_order",
  });
}

/** The config as clients read it. */
export function configOfTable({ state, schema }: TableEntry): Record<string, unknown> {
  const names = schema.columns.filter(({ encryption }) => encryption?.isOn === true).map(({ name }) => name);
  return { ...configOfSettings(state.settings), ...(names.length > 0 && { [field]: names }) };
}
