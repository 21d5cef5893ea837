import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { arrowError, type FlatTable } from "./arrow-flatbuffer.js";
import { quoted } from "./bulk-failure.js";

/**
 * The schema message. Fields of the tables that are read here, by their number in format/Schema.fbs of the Arrow
 * specification:
 *
 * ```
 * Schema              0 endianness (0 = little)  1 fields
 * Field               0 name  1 nullable  2 number of the type  3 the type's own table  4 dictionary  5 children
 * DictionaryEncoding  0 id  1 index type  2 ordered
 * Int                 0 bits  1 signed           FloatingPoint  0 precision (half, single, double)
 * Decimal             0 precision  1 scale  2 bits (128)        Date  0 unit (day, ms = default)
 * Timestamp           0 unit (s, ms, us, ns)  1 zone            FixedSizeList  0 size
 * ```
 * A timestamp's zone is not looked at: with or without one the value counts from 1970 in UTC.
 */

/** Arrow's types as far as there is a column type for them. */
export type ArrowType =
  | { readonly kind: "null" | "boolean" | "textView" | "struct" | "map" }
  | { readonly kind: "int"; readonly bytes: 1 | 2 | 4 | 8; readonly signed: boolean }
  | { readonly kind: "float"; readonly bytes: 2 | 4 | 8 }
  | { readonly kind: "decimal"; readonly bytes: 4 | 8 | 16 | 32; readonly scale: number }
  | { readonly kind: "text"; readonly offsetBytes: 4 | 8 }
  | { readonly kind: "list"; readonly offsetBytes: 4 | 8 }
  | { readonly kind: "fixedList"; readonly size: number }
  | { readonly kind: "date"; readonly bytes: 4 | 8 }
  | { readonly kind: "timestamp"; readonly unit: TimestampUnit };

export const timestampUnits = ["s", "ms", "us", "ns"] as const;
export type TimestampUnit = (typeof timestampUnits)[number];

export interface ArrowField {
  readonly name: string;
  /** Of the values; of a dictionary-encoded field, the dictionary's. */
  readonly type: ArrowType;
  readonly children: readonly ArrowField[];
  readonly dictionary: ArrowDictionary | null;
}

export interface ArrowDictionary {
  readonly id: number;
  readonly index: ArrowType & { readonly kind: "int" };
}

/** Numbers of the union Type in Schema.fbs; those without a column type carry their name for the message. */
const typeNames: Readonly<Record<number, string>> = {
  4: "Binary",
  9: "Time",
  11: "Interval",
  14: "Union",
  15: "FixedSizeBinary",
  18: "Duration",
  19: "LargeBinary",
  22: "RunEndEncoded",
  23: "BinaryView",
  25: "ListView",
  26: "LargeListView",
};

/** Fields of a schema, nested ones included: a sound flatbuffer can share one subtree 2^depth times. */
const fieldsMax = limits.columnsMax * 4;

/**
 * Reads the fields of a Schema table. A name that comes twice is refused, because column names have no case here: what
 * pandas keeps apart as `a` and `A` would be one column with two values. Throws INVALID_BODY, naming the
 * column, where one has no column type.
 */
export function readArrowSchema(schema: FlatTable, position: number, depthMax: number): ArrowField[] {
  if (schema.int16(0) !== 0) throw arrowError("it is big-endian", position);
  const reading: SchemaReading = { position, depthMax, fields: 0, column: "" };
  const fields = schema.tables(1).map((field) => {
    reading.column = field.string(0);
    return readField(field, reading, 1);
  });
  const names = new Set<string>();
  for (const { name } of fields) {
    const key = name.toLowerCase();
    if (names.has(key)) throw arrowError(`the column ${quoted(name)} is there twice`, position);
    names.add(key);
  }
  return fields;
}

interface SchemaReading {
  readonly position: number;
  readonly depthMax: number;
  fields: number;
  /** The column at the top whose field, or a field below it, is being read. */
  column: string;
}

function readField(field: FlatTable, reading: SchemaReading, depth: number): ArrowField {
  reading.fields++;
  if (reading.fields > fieldsMax) throw arrowError(`its schema has more than ${fieldsMax} fields`, reading.position);
  if (depth > reading.depthMax) throw arrowError(`its schema is deeper than ${reading.depthMax}`, reading.position);
  const type = readType(field, reading);
  const children = field.tables(5).map((child) => readField(child, reading, depth + 1));
  checkChildren(type, children, reading);
  return { name: field.string(0), type, children, dictionary: readDictionary(field.table(4), reading) };
}

/** The field's own type is then that of the dictionary's entries; rows are indices into it. */
function readDictionary(encoding: FlatTable | null, reading: SchemaReading): ArrowDictionary | null {
  if (encoding === null) return null;
  const indexType = encoding.table(1);
  // The specification: without an index type the indices are signed 32-bit integers.
  const index = indexType === null ? ({ kind: "int", bytes: 4, signed: true } as const) : intType(indexType, reading);
  return { id: encoding.int64(0), index };
}

/** A type's own table has its parameters; fields and their defaults are those of Schema.fbs. */
function readType(field: FlatTable, reading: SchemaReading): ArrowType {
  const code = field.uint8(2);
  const type = field.table(3);
  if (type === null) throw arrowError("a field has no type", reading.position);
  switch (code) {
    case 1:
      return { kind: "null" };
    case 2:
      return intType(type, reading);
    case 3:
      return { kind: "float", bytes: width(2 << type.int16(0), [2, 4, 8], reading) };
    case 5:
      return { kind: "text", offsetBytes: 4 };
    case 6:
      return { kind: "boolean" };
    case 7:
      return { kind: "decimal", scale: type.int32(1), bytes: width(type.int32(2, 128) / 8, [4, 8, 16, 32], reading) };
    case 8:
      return { kind: "date", bytes: width(type.int16(0, 1) === 0 ? 4 : 8, [4, 8], reading) };
    case 10:
      return { kind: "timestamp", unit: timestampUnits[type.int16(0)] ?? badParameter(reading) };
    case 12:
      return { kind: "list", offsetBytes: 4 };
    case 13:
      return { kind: "struct" };
    case 16:
      return { kind: "fixedList", size: Math.max(type.int32(0), 0) };
    case 17:
      return { kind: "map" };
    case 20:
      return { kind: "text", offsetBytes: 8 };
    case 21:
      return { kind: "list", offsetBytes: 8 };
    case 24:
      return { kind: "textView" };
    default: {
      const { column } = reading;
      const name = typeNames[code] ?? `number ${code}`;
      const message = `the column ${quoted(column)} has the Arrow type ${name}, which no column type can hold`;
      throw new MiniodbError("INVALID_BODY", message, { position: reading.position, column: column.slice(0, 255) });
    }
  }
}

function intType(type: FlatTable, reading: SchemaReading): ArrowType & { kind: "int" } {
  return { kind: "int", bytes: width(type.int32(0) / 8, [1, 2, 4, 8], reading), signed: type.boolean(1) };
}

/** `bytes` as one of the widths that the type can have. */
function width<Width extends number>(bytes: number, allowed: readonly Width[], reading: SchemaReading): Width {
  return allowed.find((candidate) => candidate === bytes) ?? badParameter(reading);
}

function badParameter(reading: SchemaReading): never {
  throw arrowError(`the type of the column ${quoted(reading.column)} has a wrong parameter`, reading.position);
}

/** A list has its items as its child, a map the struct of its keys and values, a struct any number of them. */
function checkChildren(type: ArrowType, children: readonly ArrowField[], reading: SchemaReading): void {
  const { kind } = type;
  const expected = kind === "list" || kind === "fixedList" || kind === "map" ? 1 : kind === "struct" ? -1 : 0;
  if (expected >= 0 && children.length !== expected) badParameter(reading);
  if (kind !== "map") return;
  const entries = children[0];
  if (entries?.type.kind !== "struct" || entries.children.length !== 2) badParameter(reading);
}
