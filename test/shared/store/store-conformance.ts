/** What every ObjectStore does; run on each implementation and on the wrappers around one. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { crc32 } from "node:zlib";
import { MiniodbError } from "../../../src/shared/errors.js";
import {
  ObjectChanged,
  ObjectNotFound,
  type ObjectEntry,
  type ObjectStore,
  type PartTarget,
  streamPart,
} from "../../../src/shared/store/object-store.js";
import { seededRandom } from "../../harness/seeded-random.js";
import { sized } from "../../harness/test-size.js";

export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** A second client of the same objects, as another worker has it. */
  readonly other: ObjectStore;
  readonly close: () => void | Promise<void>;
}

export interface ConformanceOptions {
  /** Why the suite cannot run here. */
  readonly skip?: string | false;
  /** Of the largest object, which is written and read in pieces; MINIODB_TEST_LARGE_BYTES says otherwise. */
  readonly largeBytes?: number;
  /** Of a list that should take more than one page. */
  readonly listedKeys?: number;
}

const pieceBytes = 8 * 1024 * 1024;

const oddKeys = [
  "plain",
  "with space/and=equals/percent%20/plus+",
  "ünïcödé/日本語/🙂",
  "dots/..hidden/trailing./...",
  "quotes'\"/back\\slash/#?&;",
  `long/${"x".repeat(250)}`,
  "-dash/~tilde/*star",
];

export function testConformance(
  name: string,
  open: () => StoreUnderTest | Promise<StoreUnderTest>,
  options: ConformanceOptions = {},
): void {
  describe(`object store: ${name}`, { skip: options.skip ?? false }, () => {
    let subject: StoreUnderTest;
    let store: ObjectStore;
    let folder: string;
    const { listedKeys = 130 } = options;
    const largeBytes = Number(process.env["MINIODB_TEST_LARGE_BYTES"] ?? options.largeBytes ?? 3_000_001);
    before(async () => {
      subject = await open();
      ({ store } = subject);
      folder = mkdtempSync(join(tmpdir(), "miniodb-conformance-"));
    });
    after(async () => {
      await subject.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test("what was put comes back, whole and by range", async () => {
      const body = bytesOf("0123456789");
      await store.put("range/a", body);
      assert.deepEqual(await text(store, "range/a"), "0123456789");
      assert.equal(textOf(await store.get("range/a", { start: 2, end: 5 })), "234");
      assert.equal(textOf(await store.get("range/a", { start: 0, end: 0 })), "");
      assert.equal(textOf(await store.get("range/a", { start: 8, end: 100 })), "89");
      assert.equal(textOf(await store.get("range/a", { start: 50, end: 60 })), "");
    });

    test("an object may have no bytes, and many", async () => {
      await store.put("size/empty", new Uint8Array(0));
      assert.equal((await store.get("size/empty")).length, 0);
      assert.equal(await store.putIfAbsent("size/empty", bytesOf("x")), false);
      const large = new Uint8Array(5_000_011).map((_value, index) => index * 31);
      await store.put("size/large", large);
      assert.deepEqual(Buffer.from(await store.get("size/large")), Buffer.from(large));
      const entries = await list(store, "size/");
      assert.deepEqual(
        entries.map(({ key, bytes }) => [key, bytes]),
        [
          ["size/empty", 0],
          ["size/large", 5_000_011],
        ],
      );
    });

    test("ranges may be empty, begin at the end or beyond it, and be of an object without bytes", async () => {
      await store.put("edge/a", bytesOf("0123456789"));
      await store.put("edge/empty", new Uint8Array(0));
      const cases = [
        ["edge/a", 0, 0, ""],
        ["edge/a", 4, 4, ""],
        ["edge/a", 9, 10, "9"],
        ["edge/a", 10, 11, ""],
        ["edge/a", 10, 10, ""],
        ["edge/a", 5_000_000_000, 5_000_000_001, ""],
        ["edge/a", 0, 5_000_000_000, "0123456789"],
        ["edge/empty", 0, 0, ""],
        ["edge/empty", 0, 10, ""],
        ["edge/empty", 5, 10, ""],
      ] as const;
      for (const [key, start, end, expected] of cases) {
        const part = await store.getPart(key, { start, end });
        const found = [textOf(part.body), part.objectBytes];
        assert.deepEqual(found, [expected, key === "edge/a" ? 10 : 0], `${key} ${start} to ${end}`);
        assert.equal(textOf(await store.get(key, { start, end })), expected);
        assert.deepEqual(await store.getPart(key, { start, end }, part.etag), part);
        await assert.rejects(store.getPart(key, { start, end }, '"another"'), ObjectChanged);
      }
    });

    test("a large file comes back as it was, in parts", async () => {
      const path = join(folder, randomUUID());
      const checksum = writeLargeFile(path, largeBytes);
      await store.putFile("large/a", path);
      assert.equal(existsSync(path), false);
      let seen = 0;
      let etag: string | undefined;
      for (let start = 0; start < largeBytes; start += pieceBytes) {
        const part = await subject.other.getPart("large/a", { start, end: start + pieceBytes }, etag);
        assert.equal(part.objectBytes, largeBytes);
        etag = part.etag;
        seen = crc32(part.body, seen);
      }
      assert.equal(seen, checksum);
      const [entry] = await list(store, "large/");
      assert.deepEqual([entry?.key, entry?.bytes], ["large/a", largeBytes]);
      await store.delete("large/a");
    });

    test("a list of more than a page has every key once, and what was put is in the next list", async () => {
      const keys = Array.from({ length: listedKeys }, (_value, index) => `pages/${String(index).padStart(5, "0")}`);
      await putAll(store, keys);
      assert.deepEqual(
        (await list(subject.other, "pages/")).map((entry) => entry.key),
        keys,
      );
      const [first = "", last = ""] = [keys[0], keys.at(-1)];
      await store.delete(first);
      await store.put("pages/x", bytesOf("x"));
      const after = (await list(subject.other, "pages/")).map((entry) => entry.key);
      assert.deepEqual([after[0], after.at(-2), after.at(-1), after.length], [keys[1], last, "pages/x", listedKeys]);
    });

    test("the caller's buffer may change after put", async () => {
      const body = bytesOf("before");
      await store.put("copy/a", body);
      body.fill(0);
      assert.equal(await text(store, "copy/a"), "before");
    });

    test("what is not there is ObjectNotFound, also a folder's name and a key below an object", async () => {
      await store.put("missing/folder/object", bytesOf("x"));
      for (const key of ["missing/none", "missing/folder", "missing/folder/object/below", "nowhere/at/all"]) {
        await assert.rejects(store.get(key), ObjectNotFound, key);
        await assert.rejects(store.get(key, { start: 0, end: 1 }), ObjectNotFound, key);
        await assert.rejects(store.getPart(key, { start: 0, end: 0 }), ObjectNotFound, key);
      }
    });

    test("put replaces", async () => {
      await store.put("replace/a", bytesOf("a long first body"));
      await store.put("replace/a", bytesOf("short"));
      assert.equal(await text(store, "replace/a"), "short");
    });

    test("putIfAbsent makes once and changes nothing after", async () => {
      assert.equal(await store.putIfAbsent("absent/a", bytesOf("first")), true);
      assert.equal(await store.putIfAbsent("absent/a", bytesOf("second")), false);
      assert.equal(await subject.other.putIfAbsent("absent/a", bytesOf("third")), false);
      assert.equal(await text(store, "absent/a"), "first");
      await store.delete("absent/a");
      assert.equal(await store.putIfAbsent("absent/a", bytesOf("fourth")), true);
      assert.equal(await text(store, "absent/a"), "fourth");
    });

    test("of 64 concurrent putIfAbsent exactly one wins", async () => {
      for (let round = 0; round < sized(4, 10); round++) {
        const key = `race/${round}`;
        const results = await Promise.all(
          Array.from({ length: 64 }, (_value, index) =>
            (index % 2 === 0 ? store : subject.other).putIfAbsent(key, bytesOf(`writer ${index}`)),
          ),
        );
        const winners = results.flatMap((won, index) => (won ? [index] : []));
        assert.equal(winners.length, 1, `winners of ${key}: ${winners.join(", ")}`);
        assert.equal(await text(subject.other, key), `writer ${winners[0]}`);
      }
    });

    test("readers see the old or the new body of a put, never a part", async () => {
      const bodies = ["a", "b"].map((letter) => letter.repeat(300_000));
      await store.put("atomic/a", bytesOf(bodies[0] as string));
      const writes = (async () => {
        for (let round = 0; round < 20; round++) await store.put("atomic/a", bytesOf(bodies[round % 2] as string));
      })();
      for (let round = 0; round < 20; round++) {
        const seen = await text(subject.other, "atomic/a");
        assert.ok(bodies.includes(seen), "a torn read");
      }
      await writes;
    });

    test("odd keys stay what they are", async () => {
      const keys = oddKeys.map((key) => `odd/${key}`);
      for (const key of keys) await store.put(key, bytesOf(key));
      for (const key of keys) assert.equal(await text(store, key), key);
      const listed = (await list(store, "odd/")).map((entry) => entry.key);
      assert.deepEqual(listed, keys.toSorted(byBytes));
      for (const key of keys) await store.delete(key);
      assert.deepEqual(await list(store, "odd/"), []);
    });

    test("keys that no store can hold are refused", async () => {
      for (const key of ["", "/a", "a/", "a//b", "a/../b", ".", "a\nb", "x".repeat(256), "a/".repeat(600)]) {
        await assert.rejects(async () => store.put(key, bytesOf("x")), /key/, JSON.stringify(key));
      }
    });

    test("list gives exactly the keys of a prefix, in byte order", async () => {
      const seed = 7;
      const random = seededRandom(seed);
      const parts = ["a", "a-b", "a b", "ab", "b", "ÿ", "🙂", "\uFFFD", "0", "v1", "v10", "v2"];
      const keys = new Set<string>();
      while (keys.size < sized(120, 300)) {
        const depth = 1 + random.integer(3);
        const segments = Array.from({ length: depth }, () => random.pick(parts));
        // A folder and an object never share a name: leaves end in ".o".
        keys.add(`list/${segments.join("/")}.o`);
      }
      await putAll(store, [...keys]);
      const sorted = [...keys].toSorted(byBytes);
      const prefixes = ["list/", "list/a", "list/a/", "list/a-b/v1", "list/v1", "list/none", "list/🙂/", "lis"];
      for (const prefix of prefixes) {
        const listed = await list(store, prefix);
        assert.deepEqual(
          listed.map((entry) => entry.key),
          sorted.filter((key) => key.startsWith(prefix)),
          `prefix ${prefix} (seed ${seed})`,
        );
        for (const entry of listed) assert.equal(entry.bytes, Buffer.byteLength(entry.key));
      }
    });

    test("listFolders gives what lies one level below", async () => {
      const keys = ["tree/a-1/x", "tree/a-1/y/z", "tree/a-2/x", "tree/b/x", "tree/file"];
      for (const key of keys) await store.put(key, bytesOf("x"));
      assert.deepEqual(await store.listFolders("tree/"), ["tree/a-1", "tree/a-2", "tree/b"]);
      assert.deepEqual(await store.listFolders("tree/a-"), ["tree/a-1", "tree/a-2"]);
      assert.deepEqual(await store.listFolders("tree/a-1"), ["tree/a-1"]);
      assert.deepEqual(await store.listFolders("tree/a-1/"), ["tree/a-1/y"]);
      assert.deepEqual(await store.listFolders("tree/none"), []);
      assert.ok((await store.listFolders("")).includes("tree"));
    });

    test("entries say when they were written", async () => {
      const startMs = Date.now();
      await store.put("time/a", bytesOf("x"));
      const [entry] = await list(store, "time/");
      assert.ok(entry !== undefined);
      // File systems may round to their own tick.
      assert.ok(entry.modifiedMs >= startMs - 1_000 && entry.modifiedMs <= Date.now() + 1_000);
    });

    test("delete removes, and is fine when there is nothing", async () => {
      await store.put("delete/a", bytesOf("x"));
      await store.delete("delete/a");
      await store.delete("delete/a");
      await store.delete("delete/never/was");
      await assert.rejects(store.get("delete/a"), ObjectNotFound);
      assert.deepEqual(await list(store, "delete/"), []);
    });

    test("putFile moves a file in", async () => {
      const path = join(folder, randomUUID());
      writeFileSync(path, "file body");
      await store.putFile("moved/day=2026-01-01/a.parquet", path);
      assert.equal(await text(subject.other, "moved/day=2026-01-01/a.parquet"), "file body");
      assert.equal(existsSync(path), false);
    });

    test("emptied folders go away, others stay, and can be written again", async () => {
      await store.put("empty/t-1/a/b/c", bytesOf("x"));
      await store.put("empty/t-2/a", bytesOf("x"));
      await store.delete("empty/t-1/a/b/c");
      await store.removeEmptyFolders("empty/t-");
      assert.deepEqual(await store.listFolders("empty/"), ["empty/t-2"]);
      assert.equal(await text(store, "empty/t-2/a"), "x");
      await subject.other.put("empty/t-1/a/b/c", bytesOf("again"));
      await store.put("empty/t-1/a/b/d", bytesOf("again"));
      assert.equal(await text(store, "empty/t-1/a/b/c"), "again");
    });

    test("parts of one object fit together, and say so when it is another one", async () => {
      await store.put("parts/a", bytesOf("0123456789"));
      const first = await store.getPart("parts/a", { start: 0, end: 4 });
      assert.deepEqual([textOf(first.body), first.objectBytes], ["0123", 10]);
      const rest = await subject.other.getPart("parts/a", { start: 4, end: 100 }, first.etag);
      assert.deepEqual([textOf(rest.body), rest.objectBytes, rest.etag], ["456789", 10, first.etag]);
      await assert.rejects(store.getPart("parts/none", { start: 0, end: 4 }), ObjectNotFound);
      await subject.other.put("parts/a", bytesOf("another body"));
      await assert.rejects(store.getPart("parts/a", { start: 4, end: 10 }, first.etag), ObjectChanged);
      const again = await store.getPart("parts/a", { start: 0, end: 7 });
      assert.deepEqual([textOf(again.body), again.objectBytes], ["another", 12]);
    });

    test("a part that is handed on as it comes is the part that is read whole", async () => {
      const body = Buffer.alloc(300_007, "0123456789abcdef of a part");
      await store.put("streamed/a", body);
      await store.put("streamed/empty", new Uint8Array(0));
      const cases = [
        ["streamed/a", 0, body.length],
        ["streamed/a", 1000, 250_001],
        ["streamed/a", 300_000, 400_000],
        ["streamed/a", 5, 5],
        ["streamed/a", 400_000, 400_001],
        ["streamed/empty", 0, 10],
      ] as const;
      for (const [key, start, end] of cases) {
        const range = { start, end };
        const part = await store.getPart(key, range);
        const target = new GatheringTarget();
        const facts = await streamPart(store, { key, range, target });
        assert.deepEqual(Buffer.from(part.body), target.bytes, `${key} ${start} to ${end}`);
        const { objectBytes, etag } = part;
        assert.deepEqual(facts, { bytes: part.body.length, objectBytes, etag });
        assert.deepEqual(await streamPart(store, { key, range, etag, target }), facts);
        const other = streamPart(store, { key, range, etag: '"another"', target });
        await assert.rejects(other, ObjectChanged);
      }
      const target = new GatheringTarget();
      const range = { start: 0, end: 1 };
      await assert.rejects(streamPart(store, { key: "streamed/none", range, target }), ObjectNotFound);
    });

    test("what the taker of a part throws ends the call, and is thrown as it is", async () => {
      await store.put("streamed/refused", new Uint8Array(1_000_000));
      const full = new MiniodbError("STORE_UNAVAILABLE", "the disk is full");
      const target = new GatheringTarget();
      target.take = () => {
        throw full;
      };
      const request = { key: "streamed/refused", range: { start: 0, end: 1_000_000 }, target };
      await assert.rejects(streamPart(store, request), (error) => error === full);
      // Without lost answers there is one try.
      assert.ok(target.tries >= 1);
      assert.equal((await store.get("streamed/refused")).length, 1_000_000);
    });

    test("an object has a place to read it from where the store is local, and a URI", async () => {
      await store.put("place/a.txt", bytesOf("x"));
      assert.match(store.uri("place/a.txt"), /^[a-z0-9]+:\/\/.*place\/a\.txt$/);
      if (store.isLocal) assert.ok(store.readableUrl("place/a.txt").endsWith("place/a.txt"));
      else assert.throws(() => store.readableUrl("place/a.txt"));
    });
  });
}

/** What the last try brought. */
export class GatheringTarget implements PartTarget {
  tries = 0;
  #pieces: Buffer[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  begin(): void {
    this.tries++;
    this.#pieces = [];
  }

  take(bytes: Uint8Array): void {
    this.#pieces.push(Buffer.from(bytes));
  }
}

/** An object for each key, which holds its key; some at once. */
async function putAll(store: ObjectStore, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += 64) {
    await Promise.all(keys.slice(from, from + 64).map((key) => store.put(key, bytesOf(key))));
  }
}

/** A file of so many bytes, no two pieces alike; its CRC-32. */
function writeLargeFile(path: string, bytes: number): number {
  const fd = openSync(path, "wx");
  const piece = Buffer.alloc(pieceBytes, "0123456789abcdef, over and over");
  let checksum = 0;
  for (let start = 0; start < bytes; start += pieceBytes) {
    piece.writeDoubleLE(start, 8);
    const written = piece.subarray(0, Math.min(pieceBytes, bytes - start));
    writeSync(fd, written);
    checksum = crc32(written, checksum);
  }
  closeSync(fd);
  return checksum;
}

export async function list(store: ObjectStore, prefix: string): Promise<ObjectEntry[]> {
  const entries: ObjectEntry[] = [];
  for await (const entry of store.list(prefix)) entries.push(entry);
  return entries;
}

export function bytesOf(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value));
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

async function text(store: ObjectStore, key: string): Promise<string> {
  return textOf(await store.get(key));
}

function byBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
