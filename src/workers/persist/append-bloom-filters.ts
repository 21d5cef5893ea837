import { closeSync, openSync, writeSync } from "node:fs";
import { assert } from "../../shared/assert.js";
import type { BloomFilter } from "./bloom-filter.js";
import { ByteBuffer } from "./byte-buffer.js";
import { readMetadata } from "./join-parquet.js";
import { readFooterBytes } from "./parquet-footer.js";
import { decodeThriftTree, isItems, type ThriftItems, type ThriftNode, type ThriftTree } from "./thrift-compact.js";
import { encodeThriftTree } from "./thrift-tree.js";
import { thriftTypes } from "./thrift-writer.js";

const magic = Buffer.from("PAR1");

/** Fields of the footer's structs; parquet-footer.ts draws them. */
const metadataFields = { schema: 2, rowGroups: 4 } as const;
const elementFields = { children: 5, fieldId: 9 } as const;
const groupFields = { chunks: 1, rows: 3 } as const;
/** ColumnChunk: 3 ColumnMetaData, with 14 the filter's offset and 15 its length, header included. */
const chunkFields = { metadata: 3 } as const;
const filterFields = { offset: 14, length: 15 } as const;

/**
 * Gives one column of a finished Parquet file a Bloom filter in each row group. The filters take the place of the footer,
 * and the footer follows them: nothing else in the file moves.
 *
 * ```
 * before   "PAR1" | row groups | FileMetaData | u32 length | "PAR1"
 * after    "PAR1" | row groups | filter of group 1 | filter of group 2 | ... | FileMetaData | u32 length | "PAR1"
 * ```
 * A file in the making only: between the first filter and `finish` it is none.
 */
export class BloomFilterAppender {
  /** Of each row group. */
  readonly groupRows: readonly number[];
  readonly #fd: number;
  readonly #metadata: ThriftTree;
  readonly #leaf: number;
  readonly #filters: { readonly offset: number; readonly bytes: number }[] = [];
  #offset: number;

  /** The file has the column. Keeps it open until `close`, which has to be called in any case. */
  constructor(path: string, fieldId: number) {
    this.#fd = openSync(path, "r+");
    try {
      const { footer, footerOffset } = readFooterBytes(this.#fd);
      this.#metadata = decodeThriftTree(footer);
      this.#offset = footerOffset;
      this.#leaf = leafOf(this.#metadata, fieldId);
      this.groupRows = groupsOf(this.#metadata).items.map((group) =>
        numberOf((group as ThriftTree).get(groupFields.rows)),
      );
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** The next row group's. */
  append(filter: BloomFilter): void {
    const bytes = filter.encode();
    this.#filters.push({ offset: this.#offset, bytes: bytes.length });
    this.#write(bytes);
  }

  /** After the last row group's filter. Not durable: the file may be in the page cache only. */
  finish(): void {
    const groups = groupsOf(this.#metadata);
    assert(this.#filters.length === groups.items.length, "each row group has a filter");
    const items = groups.items.map((group, index) => this.#withFilter(group as ThriftTree, index));
    const metadata = new Map(this.#metadata);
    metadata.set(metadataFields.rowGroups, { type: thriftTypes.list, value: { ...groups, items } });
    const out = new ByteBuffer();
    encodeThriftTree(out, metadata);
    out.uint32(out.length);
    out.append(magic);
    this.#write(out.bytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Row groups keep everything else that their writer said of them. */
  #withFilter(group: ThriftTree, index: number): ThriftTree {
    const filter = this.#filters[index];
    const chunks = group.get(groupFields.chunks)?.value;
    assert(filter !== undefined && chunks !== undefined && isItems(chunks), "a row group has column chunks");
    const items = chunks.items.map((chunk, leaf) => {
      const metadata = (chunk as ThriftTree).get(chunkFields.metadata);
      if (leaf !== this.#leaf) return chunk;
      assert(metadata !== undefined, "a column chunk is described in the footer");
      const value = withFields(metadata.value as ThriftTree, [
        [filterFields.offset, { type: thriftTypes.i64, value: filter.offset }],
        [filterFields.length, { type: thriftTypes.i32, value: filter.bytes }],
      ]);
      return new Map(chunk as ThriftTree).set(chunkFields.metadata, { ...metadata, value });
    });
    return new Map(group).set(groupFields.chunks, { type: thriftTypes.list, value: { ...chunks, items } });
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#offset + done);
    }
    this.#offset += bytes.length;
  }
}

/** Whether the column has a filter in every row group of a file; also those that another writer made. */
export function hasBloomFilters(path: string, fieldId: number): boolean {
  const metadata = readMetadata(path);
  const leaf = leafOf(metadata, fieldId);
  return groupsOf(metadata).items.every((group) => {
    const chunks = (group as ThriftTree).get(groupFields.chunks)?.value;
    const chunk = chunks !== undefined && isItems(chunks) ? (chunks.items[leaf] as ThriftTree | undefined) : undefined;
    const described = chunk?.get(chunkFields.metadata)?.value as ThriftTree | undefined;
    return described?.has(filterFields.offset) ?? false;
  });
}

/** In the order of their numbers, as they are written. */
function withFields(tree: ThriftTree, fields: readonly (readonly [number, ThriftNode])[]): ThriftTree {
  return new Map([...new Map([...tree, ...fields])].toSorted(([left], [right]) => left - right));
}

function groupsOf(metadata: ThriftTree): ThriftItems {
  const groups = metadata.get(metadataFields.rowGroups)?.value;
  assert(groups !== undefined && isItems(groups), "a footer has row groups");
  return groups;
}

/** Its place among the leaf columns, which is that of its chunk in each row group. */
function leafOf(metadata: ThriftTree, fieldId: number): number {
  const elements = metadata.get(metadataFields.schema)?.value;
  assert(elements !== undefined && isItems(elements), "a footer has a schema");
  const leaves = elements.items.filter((element) => !(element as ThriftTree).has(elementFields.children));
  const leaf = leaves.findIndex((element) => (element as ThriftTree).get(elementFields.fieldId)?.value === fieldId);
  assert(leaf >= 0, `the file has field ${fieldId}`);
  return leaf;
}

function numberOf(node: ThriftNode | undefined): number {
  assert(typeof node?.value === "number", "an integer is where the footer should have one");
  return node.value;
}
