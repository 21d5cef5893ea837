import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fetch } from "undici";
import { sendQueryReply } from "../../../../src/main/protocols/rest/query-reply.js";
import type { QueryReply } from "../../../../src/main/query/query-request.js";
import type { ResultFormat } from "../../../../src/shared/result-format.js";
import { limits } from "../../../../src/shared/limits.js";
import { ResultRoom } from "../../../../src/shared/result-room.js";
import { whyUnavailable } from "../../sockets/run-conformance.js";
import { gather, type Implementation, openTestServer } from "../../sockets/test-server.js";

const folder = mkdtempSync(join(tmpdir(), "miniodb-reply-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const columns = [{ name: "a", type: "BIGINT" }];

function replyOf(body: QueryReply["body"], hasMore = false): QueryReply {
  const nextCursor = hasMore ? "c.1" : "";
  return { queryId: "q-1", cache: "miss", body, columns, rows: 3, hasMore, nextCursor };
}

function fileOf(name: string, bytes: number): { readonly path: string; readonly content: Buffer } {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at++) content[at] = (at * 31 + (at >> 10)) & 0xff;
  const path = join(folder, name);
  writeFileSync(path, content);
  return { path, content };
}

/** The first piece of its own memory, the others in slabs. */
function piecesOf(room: ResultRoom, lengths: readonly number[]) {
  const pieces: Uint8Array[] = [new Uint8Array(Buffer.from("first piece"))];
  const slabs: number[] = [];
  for (const length of lengths) {
    const slab = room.take();
    assert.ok(slab !== null);
    slabs.push(slab.index);
    pieces.push(slab.bytes.subarray(0, length).fill(`${slab.index}`.charCodeAt(0)));
  }
  const content = Buffer.concat(pieces);
  return { body: { kind: "pieces", pieces, bytes: content.length, room: room.states, slabs } as const, content };
}

for (const implementation of ["uws", "node"] as const satisfies readonly Implementation[]) {
  describe(`query replies on ${implementation}`, { skip: whyUnavailable(implementation) }, () => {
    test("bytes, in their envelope or with headers", async (context) => {
      const rows = { kind: "bytes", bytes: Buffer.from("[[1]]") } as const;
      let format: ResultFormat = "json";
      const { port } = await openTestServer(context, implementation, {
        handler: (exchange) => gather(() => void sendQueryReply(exchange, format, replyOf(rows, true))),
      });
      const url = `http://127.0.0.1:${port}/`;
      const page = { row_count: 3, has_more: true, next_cursor: "c.1" };
      assert.deepEqual(await (await fetch(url)).json(), { columns, rows: [[1]], ...page });
      format = "original";
      assert.equal(await (await fetch(url)).text(), '{"result_json":[[1]],"has_more":true,"next_cursor":"c.1"}');
      format = "csv";
      const reply = await fetch(url);
      assert.equal(await reply.text(), "[[1]]");
      assert.equal(reply.headers.get("content-type"), "text/csv; charset=utf-8; header=present");
      assert.equal(reply.headers.get("miniodb-rows"), "3");
      assert.equal(reply.headers.get("miniodb-has-more"), "true");
      assert.equal(reply.headers.get("miniodb-next-cursor"), "c.1");
    });

    test("files of every length around the pieces, whole and then gone", async (context) => {
      for (const bytes of [0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 3_000_000]) {
        for (const format of ["json", "parquet"] as const) {
          const { path, content } = fileOf(`${implementation}-${format}-${bytes}`, bytes);
          const { port } = await openTestServer(context, implementation, {
            handler: (exchange) =>
              gather(() => void sendQueryReply(exchange, format, replyOf({ kind: "file", path, bytes }))),
          });
          const reply = await fetch(`http://127.0.0.1:${port}/`);
          const body = Buffer.from(await reply.arrayBuffer());
          assert.equal(Number(reply.headers.get("content-length")), body.length);
          const start = format === "json" ? body.indexOf('"rows":') + 7 : 0;
          assert.ok(body.subarray(start, start + bytes).equals(content), `${format} ${bytes}`);
          await untilGone(path);
        }
      }
    });

    test("pieces of memory, whole; slabs are free when they have left, or the client has", async (context) => {
      const room = new ResultRoom();
      const lengths = [1, 0, 2_000_000, 70_000, ...Array.from({ length: 8 }, () => limits.resultSlabBytes)];
      const settled: Promise<void>[] = [];
      let format: ResultFormat = "arrow";
      let content = Buffer.alloc(0);
      const { port } = await openTestServer(context, implementation, {
        handler: (exchange) =>
          gather(() => {
            const made = piecesOf(room, lengths);
            content = made.content;
            settled.push(sendQueryReply(exchange, format, replyOf(made.body)));
          }),
      });
      const url = `http://127.0.0.1:${port}/`;
      for (format of ["json", "arrow"] as const) {
        const reply = await fetch(url);
        const sent = Buffer.from(await reply.arrayBuffer());
        assert.equal(Number(reply.headers.get("content-length")), sent.length);
        const start = format === "json" ? sent.indexOf('"rows":') + 7 : 0;
        assert.ok(sent.subarray(start, start + content.length).equals(content), format);
        await Promise.all(settled);
        assert.equal(room.takenSlabs, 0);
      }
      const control = new AbortController();
      const left = await fetch(url, { signal: control.signal });
      await left.body?.getReader().read();
      assert.equal(room.takenSlabs, lengths.length, "they are held as long as the client reads");
      control.abort();
      await Promise.all(settled);
      assert.equal(room.takenSlabs, 0);
    });

    test("a file that ends before its end cuts the connection; one that is not there is an error", async (context) => {
      const { path } = fileOf(`${implementation}-short`, 2_000_000);
      truncateSync(path, 1_500_000);
      const failures: unknown[] = [];
      const { port } = await openTestServer(context, implementation, {
        handler: (exchange) =>
          gather(() => {
            const body = { kind: "file", path, bytes: 2_000_000 } as const;
            sendQueryReply(exchange, "csv", replyOf(body)).catch((error: unknown) => {
              failures.push(error);
              exchange.reply(500, [], "late");
            });
          }),
      });
      const url = `http://127.0.0.1:${port}/`;
      await assert.rejects(fetch(url).then((reply) => reply.arrayBuffer()));
      await untilGone(path);
      const missing = await fetch(url);
      assert.equal(missing.status, 500);
      assert.equal(failures.length, 2);
    });

    test("a client that leaves: the file goes", async (context) => {
      const { path } = fileOf(`${implementation}-left`, 40_000_000);
      const settled: Promise<void>[] = [];
      const { port } = await openTestServer(context, implementation, {
        handler: (exchange) =>
          gather(() => {
            const body = { kind: "file", path, bytes: 40_000_000 } as const;
            settled.push(sendQueryReply(exchange, "csv", replyOf(body)));
          }),
      });
      const control = new AbortController();
      const reply = await fetch(`http://127.0.0.1:${port}/`, { signal: control.signal });
      const reader = reply.body?.getReader();
      await reader?.read();
      // Nobody reads: what is on its way stays about a piece.
      await sleep(50);
      assert.ok(existsSync(path));
      control.abort();
      await Promise.all(settled);
      await untilGone(path);
    });
  });
}

async function untilGone(path: string): Promise<void> {
  for (let round = 0; round < 200 && existsSync(path); round++) await sleep(10);
  assert.equal(existsSync(path), false);
}
