import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { limits } from "../../../src/shared/limits.js";
import type { ResultBody } from "../../../src/shared/query-messages.js";
import { discardBody } from "../../../src/shared/result-body.js";
import { ResultRoom } from "../../../src/shared/result-room.js";
import { ResultSink } from "../../../src/workers/query/result-sink.js";

const folder = mkdtempSync(join(tmpdir(), "miniodb-sink-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const slabBytes = limits.resultSlabBytes;
let files = 0;

function newSink(room: ResultRoom, bytesMax = 2 ** 40): { readonly sink: ResultSink; readonly path: string } {
  const path = join(folder, `${++files}.result`);
  return { sink: new ResultSink({ path, bytesMax, room }), path };
}

/** Bytes that tell their place. */
function someBytes(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let at = 0; at + 4 <= count; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}

/** In parts of so many bytes, each overwritten as soon as it was taken. */
async function fill(sink: ResultSink, content: Uint8Array, partBytes: number): Promise<void> {
  const part = new Uint8Array(partBytes);
  for (let at = 0; at < content.length; at += partBytes) {
    const next = content.subarray(at, at + partBytes);
    part.set(next);
    await sink.write(part.subarray(0, next.length));
    part.fill(0xee);
  }
}

function contentOf(body: ResultBody): Buffer {
  if (body.kind === "file") return readFileSync(body.path);
  return body.kind === "bytes" ? Buffer.from(body.bytes) : Buffer.concat(body.pieces);
}

/** Of so many slabs. */
function roomOf(slabs: number): ResultRoom {
  const room = new ResultRoom();
  for (let taken = slabs; taken < limits.resultSlabs; taken++) assert.ok(room.take() !== null);
  return room;
}

describe("the sink of a result", () => {
  test("one piece of memory, then slabs, then a file, with the same bytes", async () => {
    const kinds = new Set<string>();
    for (const slabs of [0, 1, 3, limits.resultSlabs]) {
      for (const count of [0, 1, 65_536, 65_537, 1024 * 1024, 1024 * 1024 + 1, 3 * slabBytes + 65_536, 9_000_001]) {
        for (const partBytes of [40_000, 2_500_000]) {
          const room = roomOf(slabs);
          const takenSlabs = room.takenSlabs;
          const { sink, path } = newSink(room);
          const content = someBytes(count);
          await fill(sink, content, partBytes);
          const body = await sink.finish();
          const told = `${count} bytes by ${partBytes} with ${slabs} slabs as ${body.kind}`;
          kinds.add(body.kind);
          assert.ok(contentOf(body).equals(content), told);
          assert.equal(existsSync(path), body.kind === "file", told);
          const fits = count <= 65_536 + slabs * slabBytes;
          assert.equal(body.kind, !fits ? "file" : count <= limits.resultBytesWholeMax ? "bytes" : "pieces", told);
          assert.equal(room.takenSlabs > takenSlabs, body.kind === "pieces", told);
          await discardBody(body);
          assert.equal(room.takenSlabs, takenSlabs, told);
          assert.ok(!existsSync(path));
        }
      }
    }
    assert.equal(kinds.size, 3);
  });

  test("what is abandoned leaves neither file nor taken slabs", async () => {
    for (const count of [10, 3_000_000, 20_000_000]) {
      const room = roomOf(2);
      const takenSlabs = room.takenSlabs;
      const { sink, path } = newSink(room);
      await fill(sink, someBytes(count), 1_000_000);
      assert.equal(existsSync(path), count === 20_000_000);
      await sink.abandon();
      assert.equal(room.takenSlabs, takenSlabs);
      assert.ok(!existsSync(path));
    }
  });

  test("a result beyond its bound is refused wherever it is", async () => {
    for (const count of [10, 3_000_000, 20_000_000]) {
      const room = roomOf(2);
      const takenSlabs = room.takenSlabs;
      const { sink, path } = newSink(room, count - 1);
      await assert.rejects(fill(sink, someBytes(count), 1_000_000), { code: "RESULT_TOO_LARGE" });
      await sink.abandon();
      assert.equal(room.takenSlabs, takenSlabs);
      assert.ok(!existsSync(path));
    }
  });
});
