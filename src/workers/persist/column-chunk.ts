import type { ColumnType } from "../../shared/schema/column-type.js";
import type { BloomFilter } from "./bloom-filter.js";
import { ByteBuffer } from "./byte-buffer.js";
import type { ColumnEncoding } from "./column-encodings.js";
import { gatherBooleans, gatherOffsets, gatherText, gatherValidity, gatherWords, select, shorten } from "./gather.js";
import {
  BooleanPageEncoder,
  TextPageEncoder,
  WordPageEncoder,
  type PageEncoder,
  type PageValues,
} from "./page-encoder.js";
import {
  writePageHeader,
  type ColumnChunk,
  type PageHeader,
  type ParquetCodec,
  type ParquetEncoding,
} from "./parquet-format.js";
import { writeLevels } from "./rle-hybrid.js";
import { lowerTextBound, upperTextBound } from "./text-bounds.js";
import { ThriftWriter } from "./thrift-writer.js";
import { isText, noBytes, noWords, type TypedColumn, type TypedRows } from "./typed-rows.js";
import type { ValueBounds } from "./value-bounds.js";
import { zstdFrame } from "./zstd-frame.js";

/** Rows of one page: its buffers stay in the second cache. */
const pageRowsMax = 32_768;
/** Text of one page, unless a single value is larger. */
const pageBytesMax = 1024 * 1024;
/** Texts in statistics. */
const boundBytesMax = 64;

export interface ChunkRows {
  readonly rows: TypedRows;
  readonly order: Uint32Array | null;
  /** Positions [from, to) of the order. */
  readonly from: number;
  readonly to: number;
}

export interface ChunkFormat {
  readonly encoding: ColumnEncoding;
  readonly codec: ParquetCodec;
  readonly statistics: boolean;
  /** Gets the texts of the column; null: nobody asks. */
  readonly filter: BloomFilter | null;
}

/** Encodes one column of one row group, and hands its pages to `write` in file order; `offset` is where they start. */
export function writeColumnChunk(
  column: TypedColumn,
  source: ChunkRows,
  format: ChunkFormat,
  target: { readonly offset: number; readonly write: (bytes: Uint8Array) => void },
): ColumnChunk {
  const withBounds = format.statistics && column.column.type !== "json";
  const encoder = encoderOf(column.column.type, format.encoding, withBounds);
  const pages = new PageList(format.codec);
  const encodings = new Set<ParquetEncoding>(["levels"]);
  let nulls = 0;
  for (let position = source.from; position < source.to;) {
    const page = gatherPage(column, source, position);
    nulls += page.nulls;
    // Before the encoder, which may change the arrays.
    if (format.filter !== null) addTexts(format.filter, page);
    const body = pageBody;
    body.clear();
    if (!column.column.required) writeLevels(body, page.validity, page.rowCount, page.nulls);
    const encoding = encoder.encode(page, body);
    encodings.add(encoding);
    pages.add({ kind: "data", encoding, values: page.rowCount }, body.bytes);
    position += page.rowCount;
  }
  const data = pages.take();
  const dictionary = encoder.dictionary();
  if (dictionary !== null) {
    encodings.add("plain");
    pages.add({ kind: "dictionary", encoding: "plain", values: dictionary.values }, dictionary.bytes);
  }
  const head = pages.take();
  for (const piece of [...head.pieces, ...data.pieces]) target.write(piece);
  return {
    column: column.column,
    codec: format.codec,
    encodings: [...encodings],
    values: source.to - source.from,
    bytes: head.bytes + data.bytes,
    compressedBytes: head.compressedBytes + data.compressedBytes,
    dictionaryOffset: dictionary === null ? null : target.offset,
    dataOffset: target.offset + head.compressedBytes,
    statistics: format.statistics ? { nulls, bounds: withBounds ? shortBounds(encoder.bounds(), column) : null } : null,
  };
}

function encoderOf(type: ColumnType, encoding: ColumnEncoding, withBounds: boolean): PageEncoder {
  if (isText(type)) return new TextPageEncoder(encoding, withBounds);
  return type === "boolean" ? new BooleanPageEncoder() : new WordPageEncoder(encoding, type === "double", withBounds);
}

interface PagePieces {
  readonly pieces: readonly Uint8Array[];
  /** Headers included, as in the footer. */
  readonly bytes: number;
  readonly compressedBytes: number;
}

/** Pages of a chunk: all are kept until its end, as the dictionary, complete only then, lies before the others. */
class PageList {
  readonly #codec: ParquetCodec;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #compressedBytes = 0;

  constructor(codec: ParquetCodec) {
    this.#codec = codec;
  }

  add(page: Pick<PageHeader, "kind" | "encoding" | "values">, body: Uint8Array): void {
    // The body is memory that the next page overwrites.
    const content = this.#codec === "zstd" ? zstdFrame(body) : body.slice();
    const header = new ByteBuffer(64);
    writePageHeader(new ThriftWriter(header), { ...page, bytes: body.length, compressedBytes: content.length });
    this.#pieces.push(header.bytes, content);
    this.#bytes += header.length + body.length;
    this.#compressedBytes += header.length + content.length;
  }

  /** The pages since the last call. */
  take(): PagePieces {
    const taken = { pieces: this.#pieces, bytes: this.#bytes, compressedBytes: this.#compressedBytes };
    this.#pieces = [];
    this.#bytes = 0;
    this.#compressedBytes = 0;
    return taken;
  }
}

/** Memory of the page in hand, reused from page to page: a thread encodes one at a time. */
const pageBody = new ByteBuffer(pageBytesMax);
const words = new Int32Array(pageRowsMax * 2);
const offsets = new Int32Array(pageRowsMax + 1);
const validityBits = new Uint8Array(pageRowsMax / 8);
const valueBits = new Uint8Array(pageRowsMax / 8);
let texts = new Uint8Array(pageBytesMax);

function gatherPage(column: TypedColumn, { rows, order, to }: ChunkRows, position: number): PageValues {
  const wanted = select(rows, order, position, Math.min(to, position + pageRowsMax));
  const { type } = column.column;
  const rowCount = isText(type) ? gatherOffsets(column, wanted, offsets, pageBytesMax) : wanted.rowCount;
  const selection = rowCount === wanted.rowCount ? wanted : shorten(wanted, rowCount);
  const validity = column.hasNulls ? validityBits : null;
  const nulls = validity === null ? 0 : gatherValidity(column, selection, validity);
  const common = { rowCount, nulls, validity, words: noWords, bytes: noBytes, offsets: noWords };
  if (isText(type)) {
    const length = offsets[rowCount] as number;
    if (texts.length < length) texts = new Uint8Array(length);
    const bytes = texts.subarray(0, length);
    gatherText(column, selection, bytes);
    return { ...common, bytes, offsets: offsets.subarray(0, rowCount + 1) };
  }
  if (type === "boolean") {
    gatherBooleans(column, selection, valueBits);
    return { ...common, bytes: valueBits };
  }
  gatherWords(column, selection, words.subarray(0, rowCount * 2));
  return { ...common, words };
}

/** A null is the empty text here, which does no harm: the filter says what may be there. */
function addTexts(filter: BloomFilter, { bytes, offsets, rowCount }: PageValues): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0; row < rowCount; row++) filter.add(view, offsets[row] as number, offsets[row + 1] as number);
}

/** Bounds of texts are cut; without a short upper bound there are none. */
function shortBounds(bounds: ValueBounds | null, { column }: TypedColumn): ValueBounds | null {
  if (bounds === null || !isText(column.type)) return bounds;
  const upper = upperTextBound(bounds.upper, boundBytesMax);
  return upper === null
    ? null
    : { lower: Buffer.from(lowerTextBound(bounds.lower, boundBytesMax)), upper: Buffer.from(upper) };
}
