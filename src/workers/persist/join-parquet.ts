import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import { ByteBuffer } from "./byte-buffer.js";
import { readFooterBytes } from "./parquet-footer.js";
import { decodeThriftTree, isItems, type ThriftNode, type ThriftTree } from "./thrift-compact.js";
import { encodeThriftTree } from "./thrift-tree.js";
import { thriftTypes } from "./thrift-writer.js";

const magic = Buffer.from("PAR1");
const copyBytes = 1024 * 1024;
/**
 * Bytes that a join leaves to the page cache before it waits for the disk. Copying is faster than any disk: a whole file
 * at once would stand in the disk's queue before the log, and every write would wait for it.
 */
const syncBytes = 16 * 1024 * 1024;

/** Fields of the footer's structs that the join looks at; parquet-footer.ts draws them. */
const metadataFields = { schema: 2, rows: 3, rowGroups: 4 } as const;
const groupFields = { chunks: 1, rows: 3, fileOffset: 5, ordinal: 7 } as const;
/** ColumnChunk: 2 file offset, 4 offset index, 6 column index; ColumnMetaData: 9 data, 10 index, 11 dictionary, 14 Bloom filter. */
const chunkFields = { metadata: 3, offsets: [2, 4, 6] } as const;
const chunkMetadataOffsets = [9, 10, 11, 14];
const chunkMetadataBytes = { uncompressed: 6, compressed: 7 } as const;
/** Ordinals have 16 bits; readers do without. */
const ordinalMax = 32_767;

/** On average: with shorter row groups than these, half of the usual, a merge has something to gain by writing them anew. */
const joinGroupRowsMin = 65_536;
/** Of the bytes without compression. A Node without ZSTD stores them all: then a merge is when they are compressed. */
const joinCompressedShareMax = 0.98;

/**
 * Whether a join of the files is as good a file as their rows written anew: one schema, row groups of a good length, and
 * compressed.
 */
export function areWorthJoining(paths: readonly string[]): boolean {
  const sum = { groups: 0, rows: 0, bytes: 0, compressedBytes: 0 };
  const schemas = new Set<string>();
  for (const path of paths) {
    const metadata = readMetadata(path);
    schemas.add(schemaText(metadata));
    for (const group of itemsOf(metadata.get(metadataFields.rowGroups))) {
      sum.groups++;
      sum.rows += numberOf((group as ThriftTree).get(groupFields.rows));
      for (const chunk of itemsOf((group as ThriftTree).get(groupFields.chunks))) {
        const described = (chunk as ThriftTree).get(chunkFields.metadata)?.value as ThriftTree | undefined;
        sum.bytes += numberOf(described?.get(chunkMetadataBytes.uncompressed));
        sum.compressedBytes += numberOf(described?.get(chunkMetadataBytes.compressed));
      }
    }
  }
  if (schemas.size !== 1 || sum.rows < sum.groups * joinGroupRowsMin) return false;
  return sum.compressedBytes <= sum.bytes * joinCompressedShareMax;
}

/** FileMetaData of a finished file. */
export function readMetadata(path: string): ThriftTree {
  const fd = openSync(path, "r");
  try {
    return decodeThriftTree(readFooterBytes(fd).footer);
  } finally {
    closeSync(fd);
  }
}

/**
 * Puts Parquet files of one schema one behind the other as the row groups of one file. No value is decoded: the bytes
 * between the magic number and the footer are copied as they are, and the offsets that footers hold move with them.
 *
 * ```
 * "PAR1" | bytes of file 1 | bytes of file 2 | ... | FileMetaData of file 1, with the row groups of all | u32 length | "PAR1"
 * ```
 */
export class ParquetJoin {
  readonly #fd: number;
  readonly #rowGroups: ThriftTree[] = [];
  #bytes = magic.length;
  #unsyncedBytes = 0;
  #rows = 0;
  /** Of the first file. */
  #metadata: ThriftTree | undefined;

  /** Throws where there is a file of that name. */
  constructor(path: string) {
    this.#fd = openSync(path, "wx");
    writeAll(this.#fd, magic);
  }

  /** The file may go afterwards. */
  append(path: string): void {
    const fd = openSync(path, "r");
    try {
      const { footer, footerOffset } = readFooterBytes(fd);
      const metadata = decodeThriftTree(footer);
      this.#metadata ??= metadata;
      assert(schemaText(metadata) === schemaText(this.#metadata), "files that are joined have one schema");
      const moved = this.#bytes - magic.length;
      for (const group of itemsOf(metadata.get(metadataFields.rowGroups))) {
        const ordinal = this.#rowGroups.length;
        this.#rowGroups.push(moveGroup(group as ThriftTree, moved, ordinal));
      }
      this.#rows += numberOf(metadata.get(metadataFields.rows));
      copyRange(fd, { from: magic.length, to: footerOffset, write: (bytes) => this.#write(bytes) });
      this.#bytes += footerOffset - magic.length;
    } finally {
      closeSync(fd);
    }
  }

  /** Writes the footer. Not durable: the file may be in the page cache only. */
  finish(): void {
    assert(this.#metadata !== undefined, "a joined file has parts");
    const metadata = new Map(this.#metadata);
    metadata.set(metadataFields.rows, { type: thriftTypes.i64, value: this.#rows });
    const items = { itemType: thriftTypes.struct, items: this.#rowGroups };
    metadata.set(metadataFields.rowGroups, { type: thriftTypes.list, value: items });
    const out = new ByteBuffer();
    encodeThriftTree(out, metadata);
    out.uint32(out.length);
    out.append(magic);
    writeAll(this.#fd, out.bytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    writeAll(this.#fd, bytes);
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes < syncBytes) return;
    fdatasyncSync(this.#fd);
    this.#unsyncedBytes = 0;
  }
}

function moveGroup(group: ThriftTree, moved: number, ordinal: number): ThriftTree {
  const chunks = itemsOf(group.get(groupFields.chunks)).map((chunk) => {
    const shifted = new Map(moveOffsets(chunk as ThriftTree, chunkFields.offsets, moved));
    const metadata = shifted.get(chunkFields.metadata);
    assert(metadata !== undefined, "a column chunk is described in the footer");
    const value = moveOffsets(metadata.value as ThriftTree, chunkMetadataOffsets, moved);
    return shifted.set(chunkFields.metadata, { ...metadata, value });
  });
  const result = new Map(moveOffsets(group, [groupFields.fileOffset], moved));
  result.set(groupFields.chunks, {
    type: thriftTypes.list,
    value: { itemType: thriftTypes.struct, items: chunks },
  });
  if (ordinal > ordinalMax) result.delete(groupFields.ordinal);
  else if (result.has(groupFields.ordinal)) result.set(groupFields.ordinal, { type: thriftTypes.i16, value: ordinal });
  return result;
}

/** An offset of 0 says that there is none: the magic number stands there. */
function moveOffsets(tree: ThriftTree, fields: readonly number[], moved: number): ThriftTree {
  const result = new Map(tree);
  for (const field of fields) {
    const node = result.get(field);
    if (node !== undefined && node.value !== 0) result.set(field, { ...node, value: numberOf(node) + moved });
  }
  return result;
}

function schemaText(metadata: ThriftTree): string {
  const out = new ByteBuffer();
  const schema = metadata.get(metadataFields.schema);
  assert(schema !== undefined, "a footer has a schema");
  encodeThriftTree(out, new Map([[metadataFields.schema, schema]]));
  return Buffer.from(out.bytes).toString("latin1");
}

function itemsOf(node: ThriftNode | undefined): readonly ThriftNode["value"][] {
  assert(node !== undefined && isItems(node.value), "a list is where the footer should have one");
  return node.value.items;
}

function numberOf(node: ThriftNode | undefined): number {
  assert(typeof node?.value === "number", "an integer is where the footer should have one");
  return node.value;
}

function copyRange(
  source: number,
  { from, to, write }: { readonly from: number; readonly to: number; readonly write: (bytes: Uint8Array) => void },
): void {
  const buffer = Buffer.allocUnsafeSlow(Math.min(copyBytes, Math.max(1, to - from)));
  for (let at = from; at < to;) {
    const read = readSync(source, buffer, 0, Math.min(buffer.length, to - at), at);
    assert(read > 0, "a file does not shrink while it is read");
    write(buffer.subarray(0, read));
    at += read;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}
