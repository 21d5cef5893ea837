/**
 * The function by which queries see the values of encrypted columns. A table's view calls it; clients may not.
 *
 * ```
 * SELECT * REPLACE (miniodb_open_column("email", '9f0c...') AS "email") FROM (<the view of what is stored>)
 * ```
 * DuckDB calls it for the rows that are left when all that does not need the value has been filtered, and not at all where a
 * statement does not use the column. It runs on the query worker's own thread, in which DuckDB's threads wait for it: nothing
 * there may wait for DuckDB, see `DuckDBEngine.discard`.
 */
import type { DuckDBConnection, DuckDBDataChunk, DuckDBVector } from "@duckdb/node-api";
import { DuckDBScalarFunction, VARCHAR } from "../../shared/duckdb-api.js";
import { createRequire } from "node:module";
import type { ColumnKeys } from "../../shared/encryption/column-keys.js";
import { openTexts, type TextRows } from "../../shared/formats/sealed-value-v1.js";
import { MiniodbError } from "../../shared/errors.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import {
  columnBytes,
  gatherSlackBytes,
  gatherTexts,
  inlineBytesMax,
  textLengths,
  textWidth,
} from "./result-vectors.js";
import { quoteName, quoteText } from "./table-view.js";

/** Its prefix is refused to clients: see function-rules.ts. */
const functionName = "miniodb_open_column";
/** In front of the scope of a column that may hold plain values, too. */
const plainMark = "+";
/** How the sentence of an error begins that comes out of DuckDB again. */
const lockedMark = "miniodb column locked: ";

/** Texts of a chunk are opened together up to so many bytes, else so many rows at a time: one value may have 16 MiB. */
const chunkBytesMax = 16 * 1024 * 1024;
const largeRowsMax = 64;
/** Of a longer text, in its entry. */
const prefixBytes = 4;

/** What node-api has no other way to: see result-vectors.ts. */
interface Bindings {
  vector_get_data(vector: unknown, bytes: number): Uint8Array;
  vector_assign_string_element_len(vector: unknown, index: number, text: Uint8Array): void;
  vector_ensure_validity_writable(vector: unknown): void;
  copy_data_to_vector(vector: unknown, to: number, source: ArrayBufferLike, from: number, bytes: number): void;
  copy_data_to_vector_validity(vector: unknown, to: number, source: ArrayBufferLike, from: number, bytes: number): void;
}

const require = createRequire(import.meta.url);
const bindings = createRequire(require.resolve("@duckdb/node-api"))("@duckdb/node-bindings") as Bindings;

/** The view with its encrypted columns opened; the same where there are none. */
export function openedView({ columns }: TableSchema, sql: string): string {
  const opened = columns.flatMap(({ name, encryption }) => {
    if (encryption === undefined) return [];
    const scope = `${encryption.mayBePlain ? plainMark : ""}${encryption.scope}`;
    return [`${functionName}(${quoteName(name)}, ${quoteText(scope)}) AS ${quoteName(name)}`];
  });
  return opened.length === 0 ? sql : `SELECT * REPLACE (${opened.join(", ")}) FROM (${sql})`;
}

/** For every connection of the instance. */
export function registerOpenColumn(connection: DuckDBConnection, keys: ColumnKeys): void {
  const opening = DuckDBScalarFunction.create({
    name: functionName,
    parameterTypes: [VARCHAR, VARCHAR],
    returnType: VARCHAR,
    mainFunction: (info, input, output) => {
      try {
        openChunk(input, output, keys);
      } catch (error) {
        // An error that is thrown here would end the thread.
        const mark = error instanceof MiniodbError ? lockedMark : "";
        info.setError(mark + (error instanceof Error ? error.message : String(error)));
      }
    },
  });
  connection.registerScalarFunction(opening);
}

/** What the function had to say, where an error of DuckDB's is its; undefined for any other. */
export function lockedColumnError(message: string): MiniodbError | undefined {
  const at = message.indexOf(lockedMark);
  return at < 0 ? undefined : new MiniodbError("COLUMN_LOCKED", message.slice(at + lockedMark.length));
}

function openChunk(input: DuckDBDataChunk, output: DuckDBVector, keys: ColumnKeys): void {
  const rows = input.rowCount;
  const { data, validity } = columnBytes(input, 0, textWidth);
  const lengths = new Uint32Array(rows);
  const isLarge = textLengths({ data, validity }, rows, lengths) > chunkBytesMax;
  const given = String(input.getColumnVector(1).getItem(0));
  const mayBePlain = given.startsWith(plainMark);
  const scope = mayBePlain ? given.slice(plainMark.length) : given;
  const { vector } = output as unknown as { readonly vector: unknown };
  const step = isLarge ? largeRowsMax : rows;
  for (let first = 0; first < rows; first += step) {
    const end = Math.min(first + step, rows);
    const part = lengths.subarray(first, end);
    const bytes = new Uint8Array(part.reduce((sum, length) => sum + length, gatherSlackBytes));
    // Lengths say which rows have a text.
    gatherTexts({ data: data.subarray(first * textWidth), validity: null }, end - first, part, bytes);
    writeTexts(vector, first, openTexts({ bytes, lengths: part }, { scope, mayBePlain }, keys));
  }
  if (validity === null) return;
  const masks = new Uint8Array(Math.ceil(rows / 64) * 8);
  masks.set(validity.subarray(0, masks.length));
  bindings.vector_ensure_validity_writable(vector);
  bindings.copy_data_to_vector_validity(vector, 0, masks.buffer, 0, masks.length);
}

/**
 * Writes the rows from `first` on. All texts go to DuckDB's memory by one call, as the text of the first row, whose entry then
 * says where they lie: each row's own entry points into them. One call per text took as long as all else here.
 */
function writeTexts(vector: unknown, first: number, { bytes, lengths }: TextRows): void {
  const entries = new Uint8Array(lengths.length * textWidth);
  const words = new Uint32Array(entries.buffer);
  let low = 0;
  let high = 0;
  if (bytes.length > inlineBytesMax) {
    bindings.vector_assign_string_element_len(vector, first, bytes);
    const written = bindings.vector_get_data(vector, (first + 1) * textWidth);
    const view = new DataView(written.buffer, written.byteOffset + first * textWidth + 8);
    low = view.getUint32(0, true);
    high = view.getUint32(4, true);
  }
  for (let row = 0, at = 0; row < lengths.length; row++) {
    const length = lengths[row] as number;
    const isInline = length <= inlineBytesMax;
    words[row * 4] = length;
    const copied = isInline ? length : prefixBytes;
    for (let i = 0; i < copied; i++) entries[row * textWidth + 4 + i] = bytes[at + i] as number;
    if (!isInline) {
      words[row * 4 + 2] = low;
      words[row * 4 + 3] = high;
    }
    at += length;
    low += length;
    if (low > 0xffff_ffff) {
      low -= 0x1_0000_0000;
      high++;
    }
  }
  bindings.copy_data_to_vector(vector, first * textWidth, entries.buffer, 0, entries.length);
}
