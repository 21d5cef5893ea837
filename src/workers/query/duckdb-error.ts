import { type ErrorCode, MiniodbError } from "../../shared/errors.js";
import { suggestName } from "../../shared/suggest-name.js";
import { lockedColumnError } from "./open-column.js";
import { refusalOf } from "./function-rules.js";

/** What DuckDB says of a failure, with `errors_as_json` on. */
export interface DuckDBFailure {
  /** DuckDB's exception type in lower case, such as "binder" or "out of memory"; empty where it names none. */
  readonly type: string;
  readonly message: string;
  /** Bytes before the place in the text that DuckDB was given; null where it names none. */
  readonly positionBytes: number | null;
  /** The column, function or table that was not found, and DuckDB's guesses at it; absent for other failures. */
  readonly missing?: MissingName;
}

interface MissingName {
  readonly name: string;
  readonly isFunction: boolean;
  readonly candidates: readonly string[];
}

/** How the text that DuckDB was given relates to the text that the client sent. */
export interface StatementPlace {
  readonly sql: string;
  /** Bytes of `given` before the client's text in it, less the bytes of the client's text before that. */
  readonly shiftBytes: number;
  /** Folders that no message may name. */
  readonly hiddenFolders: readonly string[];
  /** Of the statement's tables, for suggestions where DuckDB makes none. */
  readonly columnNames?: readonly string[];
}

/** Types of exceptions that the statement or its values cause; any other is the server's. */
const statementFaults = new Set([
  "parser",
  "syntax",
  "binder",
  "catalog",
  "conversion",
  "invalid input",
  "invalid type",
  "mismatch type",
  "out of range",
  "divide by zero",
  "decimal",
  "not implemented",
  "expression",
  "parameter not resolved",
  "parameter not allowed",
  "dependency",
  "constraint",
  "sequence",
]);

const missingFile = /No files found that match|Cannot open file|No such file or directory/;

/**
 * Reads an error of node-api. Its message is DuckDB's JSON, at times behind `Parser Error: `; a few come as plain
 * `Type Error: text`.
 */
export function readFailure(error: unknown): DuckDBFailure {
  const text = error instanceof Error ? error.message : String(error);
  const brace = text.indexOf('{"exception_type"');
  if (brace !== -1) {
    try {
      const parsed = JSON.parse(text.slice(brace)) as Record<string, unknown>;
      const position = Number(parsed["position"]);
      const message = String(parsed["exception_message"]);
      const missing = missingName(parsed, message);
      return {
        type: String(parsed["exception_type"]).toLowerCase(),
        message,
        ...(missing !== undefined && { missing }),
        positionBytes: parsed["position"] === undefined || !Number.isSafeInteger(position) ? null : position,
      };
    } catch {
      // Not the JSON that it looks like: taken as plain text below.
    }
  }
  const plain = /^([A-Za-z ]{2,40}) Error: /.exec(text);
  return {
    type: (plain?.[1] ?? "").toLowerCase(),
    message: plain === null ? text : text.slice(plain[0].length),
    positionBytes: null,
  };
}

/** Forms in which DuckDB says it in the sentence alone; candidates, where there are any, are quoted behind. */
const missingForms = [
  /^Table "[^"]*" does not have a column named "(?<name>[^"]*)"\s+Candidate bindings: (?<candidates>[^]*)$/,
  /^(?:Values list|Table) "[^"]*" does not have a column named "(?<name>[^"]*)"$/,
  /^Referenced table "(?<name>[^"]*)" not found!\s+Candidate tables: (?<candidates>[^]*)$/,
];

function missingName(parsed: Readonly<Record<string, unknown>>, message: string): MissingName | undefined {
  const subtype = parsed["error_subtype"];
  if (subtype === "COLUMN_NOT_FOUND" || subtype === "MISSING_ENTRY") {
    const list = typeof parsed["candidates"] === "string" ? parsed["candidates"].split(",") : [];
    const candidates = list.map((candidate) => candidate.trim().replaceAll('"', ""));
    return { name: String(parsed["name"]), isFunction: subtype === "MISSING_ENTRY", candidates };
  }
  for (const form of missingForms) {
    const groups = form.exec(message)?.groups;
    if (groups === undefined) continue;
    const candidates = Array.from((groups["candidates"] ?? "").matchAll(/"([^"]+)"/g), ([, name]) => name ?? "");
    return { name: groups["name"] ?? "", isFunction: false, candidates };
  }
  return undefined;
}

/** A file that the statement's tables name cannot be opened. */
export function isMissingFile(failure: DuckDBFailure): boolean {
  return failure.type === "io" && missingFile.test(failure.message);
}

/** The instance's memory did not do, nor its room to spill to where it has any. */
export function isOutOfMemoryFailure(failure: DuckDBFailure): boolean {
  return failure.type === "out of memory";
}

/** After such a failure the DuckDB instance answers nothing else: it must be replaced. */
export function isFatal(failure: DuckDBFailure): boolean {
  return failure.type === "fatal" || /database has been invalidated/.test(failure.message);
}

/** In the details of RESULT_TOO_LARGE, where the memory of all queries was used up. */
export const memoryLimit = "memory";

/** The error that the client gets: code, sentence, and in the details the place in its text. */
export function toClientError(failure: DuckDBFailure, place: StatementPlace, cause?: unknown): MiniodbError {
  const locked = lockedColumnError(failure.message);
  if (locked !== undefined) return locked;
  const code = codeOf(failure);
  if (code === "RESULT_TOO_LARGE") {
    return new MiniodbError(
      code,
      `the query needs more memory than it may have: ${firstLine(failure.message)}`,
      { limit: memoryLimit },
      cause,
    );
  }
  const message = withoutFolders(failure.message, place.hiddenFolders);
  if (code === "INTERNAL") return new MiniodbError(code, message, { type: failure.type }, cause);
  const error = locatedError(code, message, placeOf(failure, place), cause);
  const more = missingDetails(failure, place.columnNames ?? []);
  return more === null ? error : new MiniodbError(code, error.message, { ...error.details, ...more }, cause);
}

/** The name that is not there, and what may have been meant: never a function that clients may not call. */
function missingDetails({ missing }: DuckDBFailure, columnNames: readonly string[]): Record<string, string> | null {
  if (missing === undefined) return null;
  const { name, isFunction } = missing;
  const candidates = isFunction
    ? missing.candidates.filter((candidate) => refusalOf(candidate) === null)
    : [...missing.candidates, ...(missing.candidates.length === 0 ? columnNames : [])];
  const suggestion = suggestName(name, candidates);
  return { [isFunction ? "function" : "name"]: name, ...(suggestion !== null && { suggestion }) };
}

/** An error about the place `positionBytes` (null: nowhere) of the client's text. */
export function errorAt(code: ErrorCode, message: string, sql: string, positionBytes: number | null): MiniodbError {
  return locatedError(code, message, positionBytes === null ? null : textPlace(sql, positionBytes));
}

interface TextPlace {
  /** Characters before it. */
  readonly position: number;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

function locatedError(code: ErrorCode, message: string, place: TextPlace | null, cause?: unknown): MiniodbError {
  if (place === null) return new MiniodbError(code, message, {}, cause);
  return new MiniodbError(code, `${message} (line ${place.line}, column ${place.column})`, { ...place }, cause);
}

function codeOf(failure: DuckDBFailure): ErrorCode {
  if (isOutOfMemoryFailure(failure)) return "RESULT_TOO_LARGE";
  if (failure.type === "permission") return "SQL_NOT_ALLOWED";
  return statementFaults.has(failure.type) ? "INVALID_SQL" : "INTERNAL";
}

function placeOf(failure: DuckDBFailure, place: StatementPlace): TextPlace | null {
  if (failure.positionBytes === null) return null;
  const bytes = failure.positionBytes - place.shiftBytes;
  // Outside the client's text: a place in what the server wrote around it.
  return bytes < 0 || bytes > Buffer.byteLength(place.sql) ? null : textPlace(place.sql, bytes);
}

function textPlace(sql: string, positionBytes: number): TextPlace {
  const before = Buffer.from(sql).subarray(0, positionBytes).toString();
  const lines = before.split("\n");
  return { position: before.length, line: lines.length, column: (lines.at(-1) ?? "").length + 1 };
}

/** Number of characters in the first `positionBytes` bytes of the text. */
export function characterPosition(sql: string, positionBytes: number): number {
  return textPlace(sql, positionBytes).position;
}

function withoutFolders(message: string, folders: readonly string[]): string {
  return folders.reduce((text, folder) => text.replaceAll(folder, "…"), message);
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] ?? "";
}
