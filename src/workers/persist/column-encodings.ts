import { bitAt, isText, partOfRow, type ColumnView, type TypedColumn, type TypedRows } from "./typed-rows.js";

/**
 * How a column's values are laid out in Parquet before compression. Differences and positions in a dictionary leave ZSTD
 * nothing to do, which is the dearest step of all; bench/micro/persist-encodings measures each column in each encoding.
 *
 * ```
 *                             bytes, plain and ZSTD   chosen encoding       bytes without, with ZSTD
 * sorted timestamps           1.1                     delta                 0.7   0.6
 * small integers              1.6                     delta                 1.4   1.4
 * texts, 1,000 distinct       2.1                     dictionary            1.4   1.3
 * doubles, 10,000 distinct    3.2                     dictionary            2.4   2.0
 * uuid texts                  19.7                    delta-length         36    18.5
 * ```
 */
export type ColumnEncoding = "plain" | "dictionary" | "delta" | "delta-length";

const sampleRows = 4096;
/** The writer gives a dictionary up at 1 MiB per row group; a larger one would be work for nothing. */
const dictionaryBytesMax = 768 * 1024;
/** A value should come back this often for its place in the dictionary to pay. */
const repeatsMin = 4;
/** Longer texts that begin alike count as one, which at worst costs a dictionary that is given up. */
const comparedBytesMax = 256;

/** The best encoding for the column, from a sample of its rows; `groupRows` is the length of a row group. */
export function chooseEncoding(rows: TypedRows, column: TypedColumn, groupRows: number): ColumnEncoding {
  switch (column.column.type) {
    case "long":
    case "timestamp":
      return "delta";
    case "boolean":
      return "plain";
    case "double":
      return dictionaryPays(rows, column, groupRows) ? "dictionary" : "plain";
    case "string":
    case "json":
      return dictionaryPays(rows, column, groupRows) ? "dictionary" : "delta-length";
  }
}

function dictionaryPays(rows: TypedRows, column: TypedColumn, groupRows: number): boolean {
  const rowsOfGroup = Math.min(rows.rowCount, groupRows);
  const sample = sampleColumn(rows, column);
  if (sample.values === 0) return true;
  if (sample.distinct === sample.values) return false;
  const population = estimateDistinct(sample.values, sample.distinct);
  const inGroup = population * (1 - Math.exp(-rowsOfGroup / population));
  return inGroup * repeatsMin <= rowsOfGroup && inGroup * (sample.bytes / sample.values + 4) <= dictionaryBytesMax;
}

interface Sample {
  readonly values: number;
  readonly distinct: number;
  readonly bytes: number;
}

function sampleColumn(rows: TypedRows, column: TypedColumn): Sample {
  const step = Math.max(1, rows.rowCount / sampleRows);
  const isTextColumn = isText(column.column.type);
  const seen = new Set<string | number>();
  let values = 0;
  let bytes = 0;
  for (let position = 0; position < rows.rowCount; position += step) {
    const row = Math.floor(position);
    const part = partOfRow(rows.starts, row);
    const view = column.views[part] ?? null;
    if (view === null) continue;
    const at = row - (rows.starts[part] as number) + (rows.froms[part] as number);
    if (view.validity !== null && bitAt(view.validity, at) === 0) continue;
    seen.add(valueAt(view, isTextColumn, at));
    bytes += isTextColumn ? (view.offsets[at + 1] as number) - (view.offsets[at] as number) : 8;
    values++;
  }
  return { values, distinct: seen.size, bytes };
}

const scratchDouble = new Float64Array(1);
const scratchWords = new Int32Array(scratchDouble.buffer);

/** Something that is equal for equal values; text as one character per byte, where it is short. */
function valueAt(view: ColumnView, isTextColumn: boolean, row: number): string | number {
  if (!isTextColumn) {
    scratchWords[0] = view.words[row * 2] as number;
    scratchWords[1] = view.words[row * 2 + 1] as number;
    return scratchDouble[0] as number;
  }
  const start = view.offsets[row] as number;
  const end = view.offsets[row + 1] as number;
  const shown = Math.min(end - start, comparedBytesMax);
  return Buffer.from(view.bytes.buffer, view.bytes.byteOffset + start, shown).toString("latin1");
}

/**
 * How many distinct values there are in all, if each is equally frequent: the D for which a sample of n values is
 * expected to show d distinct ones, d = D (1 - e^(-n/D)). The sample must have a repeat.
 */
function estimateDistinct(values: number, distinct: number): number {
  let low = distinct;
  let high = distinct;
  const expected = (population: number): number => population * (1 - Math.exp(-values / population));
  while (expected(high) < distinct) high *= 2;
  for (let step = 0; step < 40; step++) {
    const middle = (low + high) / 2;
    if (expected(middle) < distinct) low = middle;
    else high = middle;
  }
  return high;
}
