import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import type { HttpExchange, ReplyStream } from "../../../src/main/sockets/http-server.js";
import { echo, eventually, gather, openTestServer, patternBytes, type Implementation } from "./test-server.js";

const mib = 1024 * 1024;

/** No client in these tests reads while the server may buffer more than this (kernel buffers of both sides included). */
const bufferedBytesMax = 24 * mib;

function openStream(exchange: HttpExchange, totalBytes: number | null): ReplyStream {
  const stream = exchange.startReply(200, ["content-type", "application/octet-stream"], totalBytes);
  assert.ok(stream !== null);
  return stream;
}

/** Writes `bytes` in pieces; the number of pieces that the client's side took. */
async function writeAll(stream: ReplyStream, bytes: Buffer, pieceBytes: number): Promise<number> {
  let pieces = 0;
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    // A copy, wiped afterwards: what `write` has resolved must not be read again.
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
    if (!(await stream.write(piece))) return pieces;
    piece.fill(0);
    pieces++;
  }
  stream.end();
  return pieces;
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Replies of several pieces, and large ones, to readers of all kinds. */
export function testStreams(implementation: Implementation): void {
  for (const kind of ["sized", "chunked"] as const) {
    test(`${implementation}: a ${kind} reply arrives whole, in pieces of any size`, async (context) => {
      const bytes = patternBytes(6 * mib + 5);
      const pieces = [1_000, 16_384, 20_000, 300_000, 5 * mib];
      const { connect, server, errors } = await openTestServer(context, implementation, {
        handler: (exchange) => {
          const pieceBytes = Number(exchange.path.slice(1));
          const total = kind === "sized" ? bytes.length : null;
          return gather(() => void writeAll(openStream(exchange, total), bytes, pieceBytes));
        },
      });
      const client = await connect();
      for (const pieceBytes of pieces) {
        client.request("GET", `/${pieceBytes}`);
        const { headers, body } = await client.reply();
        assert.equal(headers.get("content-length"), kind === "sized" ? String(bytes.length) : undefined);
        assert.equal(digest(body), digest(bytes), `pieces of ${pieceBytes}`);
      }
      await eventually(() => server.stats().pending === 0, "the replies have left");
      assert.deepEqual(errors, []);
    });

    test(`${implementation}: a client that does not read holds up a ${kind} reply, not the memory`, async (context) => {
      const bytes = patternBytes(32 * mib);
      let writtenBytes = 0;
      let isEnded = false;
      const { connect, server } = await openTestServer(context, implementation, {
        handler: (exchange) => {
          const pieceBytes = Number(exchange.path.slice(1));
          const run = async (): Promise<void> => {
            const stream = openStream(exchange, kind === "sized" ? bytes.length : null);
            for (let at = 0; at < bytes.length; at += pieceBytes) {
              if (!(await stream.write(bytes.subarray(at, at + pieceBytes)))) return;
              writtenBytes = at + pieceBytes;
            }
            stream.end();
            isEnded = true;
          };
          return gather(() => void run());
        },
      });
      for (const pieceBytes of [4_000, 250_000]) {
        writtenBytes = 0;
        isEnded = false;
        const client = await connect();
        client.socket.pause();
        client.request("GET", `/${pieceBytes}`);
        await eventually(() => writtenBytes > 0, "the reply has begun");
        await sleep(200);
        assert.ok(writtenBytes < bufferedBytesMax, `${writtenBytes} bytes were taken for a client that does not read`);
        assert.ok(!isEnded);
        assert.equal(server.stats().pending, 1);
        client.socket.resume();
        const { body } = await client.reply();
        assert.equal(digest(body), digest(bytes));
        client.close();
      }
    });

    test(`${implementation}: a client that leaves ends a ${kind} reply`, async (context) => {
      let outcome: boolean | null = null;
      const { connect, server, errors } = await openTestServer(context, implementation, {
        handler: (exchange) => {
          const run = async (): Promise<void> => {
            const stream = openStream(exchange, kind === "sized" ? 1_000 * mib : null);
            const piece = patternBytes(mib);
            for (let count = 0; count < 1_000; count++) {
              outcome = await stream.write(piece);
              if (!outcome) break;
            }
            assert.equal(await stream.write(piece), false, "and stays so");
            stream.end();
            stream.abort();
          };
          return gather(() => void run().catch((error: unknown) => errors.push(error)));
        },
      });
      const client = await connect();
      client.request("GET", "/");
      await sleep(30);
      client.close();
      await eventually(() => outcome === false, "the writer was told");
      await eventually(() => server.stats().pending === 0, "nothing is pending");
      assert.deepEqual(errors, []);
    });

    test(`${implementation}: an aborted ${kind} reply is not taken for a whole one`, async (context) => {
      const { connect, server } = await openTestServer(context, implementation, {
        handler: (exchange) => {
          const run = async (): Promise<void> => {
            const stream = openStream(exchange, kind === "sized" ? 10_000 : null);
            await stream.write(patternBytes(5_000));
            setTimeout(() => stream.abort(), 20);
          };
          return gather(() => void run());
        },
      });
      const client = await connect();
      client.request("GET", "/");
      await assert.rejects(client.reply(), /closed after/);
      await eventually(() => server.stats().pending === 0, "nothing is pending");
    });

    test(`${implementation}: empty ${kind} replies, and those to HEAD`, async (context) => {
      const { connect, server } = await openTestServer(context, implementation, {
        handler: (exchange) => {
          const bytes = exchange.path === "/empty" ? Buffer.alloc(0) : Buffer.from("body");
          const total = kind === "sized" ? bytes.length : null;
          return gather(() => void writeAll(openStream(exchange, total), bytes, 3));
        },
      });
      const client = await connect();
      client.request("GET", "/empty");
      assert.equal((await client.reply()).body.length, 0);
      client.request("HEAD", "/body");
      assert.equal((await client.reply(true)).headers.get("content-length"), kind === "sized" ? "4" : undefined);
      client.request("GET", "/body");
      assert.equal((await client.reply()).body.toString(), "body");
      assert.equal(server.stats().pending, 0);
    });
  }

  test(`${implementation}: a large whole reply reaches a slow reader`, async (context) => {
    const bytes = patternBytes(20 * mib);
    const replies = [bytes, bytes.toString("latin1")];
    const { connect, server } = await openTestServer(context, implementation, {
      handler: (exchange) =>
        gather(() => exchange.reply(200, ["x-a", "b"], replies[Number(exchange.path.slice(1))] ?? "")),
    });
    for (const [index, reply] of replies.entries()) {
      const client = await connect();
      client.socket.pause();
      client.request("GET", `/${index}`);
      await sleep(100);
      assert.equal(server.stats().pending, 1, "a reply that has not left is pending");
      client.socket.resume();
      const { headers, body } = await client.reply();
      assert.equal(headers.get("x-a"), "b");
      assert.equal(digest(body), digest(Buffer.from(reply as string)));
      await eventually(() => server.stats().pending === 0, "it has left");
    }
  });

  test(`${implementation}: a stream may begin in the handler, and the connection is used again`, async (context) => {
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        if (exchange.method === "POST") return echo(exchange);
        const stream = openStream(exchange, null);
        void writeAll(stream, Buffer.from("from the handler"), 4);
        return null;
      },
    });
    const client = await connect();
    for (let round = 0; round < 3; round++) {
      client.request("GET", "/");
      assert.equal((await client.reply()).body.toString(), "from the handler");
      client.request("POST", "/", "body");
      assert.equal((await client.reply()).body.toString(), "body");
    }
  });
}
