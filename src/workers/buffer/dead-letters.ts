import type { RowError } from "../../shared/columns/row-account.js";
import { limits } from "../../shared/limits.js";
import { frameFormats } from "../../shared/ring/frame.js";
import { csvHeaderEnd, rowPlaces } from "../decode/row-texts.js";

/** The body that the rows were rejected of. */
export interface RejectingBody {
  readonly table: string;
  readonly batchId: string;
  /** frameFormats. */
  readonly format: number;
  /** The body is one row, in the shape of the original API. */
  readonly originalShape: boolean;
  /** Its content encoding undone; null where the rows may not be kept as they are, of a table with encrypted columns. */
  readonly bytes: Uint8Array | null;
}

const formatNames: Readonly<Record<number, string>> = {
  [frameFormats.json]: "json",
  [frameFormats.ndjson]: "ndjson",
  [frameFormats.csv]: "csv",
  [frameFormats.messagePack]: "msgpack",
  [frameFormats.messagePackColumns]: "msgpack",
  [frameFormats.arrowStream]: "arrow",
};

/**
 * Rejected rows as lines of NDJSON for the table of dead letters. `raw` is the row as it was sent, cut at
 * limits.deadLetterRawBytesMax: text, behind the header line in CSV, base64 of a MessagePack map, null in formats of columns
 * and of tables with encrypted columns.
 * All together have at most limits.deadLettersBytesMax; the rows behind that are left out.
 */
export function deadLetters(body: RejectingBody, errors: readonly RowError[]): string {
  const { bytes: sent } = body;
  const raws = sent === null ? null : rawRows({ ...body, bytes: sent }, new Set(errors.map(({ row }) => row)));
  const lines: string[] = [];
  let bytes = 0;
  for (const { row, column, code, message } of errors) {
    const line = JSON.stringify({
      table_name: body.table,
      batch_id: body.batchId === "" ? null : body.batchId,
      row_number: row,
      column_name: column,
      code,
      message,
      format: formatNames[body.format] ?? null,
      raw: raws?.get(row) ?? null,
    });
    bytes += Buffer.byteLength(line) + 1;
    if (bytes > limits.deadLettersBytesMax) break;
    lines.push(line);
  }
  return lines.join("\n");
}

type SentBody = RejectingBody & { readonly bytes: Uint8Array };

function rawRows({ format, originalShape, bytes }: SentBody, wanted: ReadonlySet<number>): Map<number, string> {
  const raws = new Map<number, string>();
  const isBinary = format === frameFormats.messagePack;
  const header =
    format === frameFormats.csv ? textOf(bytes, 0, Math.min(csvHeaderEnd(bytes), limits.deadLetterRawBytesMax)) : "";
  const places = originalShape ? [[0, bytes.length] as const] : rowPlaces(format, bytes);
  let row = 0;
  for (const [start, end] of places ?? []) {
    if (wanted.has(row)) {
      const cut = Math.min(end, start + limits.deadLetterRawBytesMax);
      raws.set(row, isBinary ? base64Of(bytes, start, cut) : `${header}${textOf(bytes, start, cut).trimEnd()}`);
    }
    row++;
    if (raws.size === wanted.size) break;
  }
  return raws;
}

/** Broken UTF-8 shows as U+FFFD. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

function base64Of(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("base64");
}
