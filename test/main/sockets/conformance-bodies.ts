import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import type { HttpExchange } from "../../../src/main/sockets/http-server.js";
import {
  echo,
  eventually,
  gather,
  openTestServer,
  patternBytes,
  skipLong,
  textHeaders,
  type Implementation,
} from "./test-server.js";

/** The bytes of a chunked body, cut as `sizes` say. */
function chunked(body: Buffer, sizes: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let index = 0; at < body.length; index++) {
    const piece = body.subarray(at, at + (sizes[index % sizes.length] ?? 1));
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
    at += piece.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

const chunkedHead = "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

/** Bodies: whole, in pieces, too large, too slow, broken off. */
export function testBodies(implementation: Implementation): void {
  test(`${implementation}: a small body is one chunk, a large one comes in order`, async (context) => {
    const counts: number[] = [];
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        let count = 0;
        const inner = echo(exchange);
        return {
          onChunk: (chunk, isLast) => {
            count++;
            if (isLast) counts.push(count);
            inner.onChunk(chunk, isLast);
          },
          onAborted: () => undefined,
        };
      },
    });
    const client = await connect();
    client.request("POST", "/", "small");
    assert.equal((await client.reply()).body.toString(), "small");
    const large = patternBytes(5_000_000);
    client.request("POST", "/", large);
    assert.ok((await client.reply()).body.equals(large));
    assert.equal(counts[0], 1);
    assert.ok((counts[1] ?? 0) > 1);
  });

  test(`${implementation}: chunked bodies, however they are cut`, async (context) => {
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        assert.equal(exchange.contentLength, -1);
        return echo(exchange);
      },
    });
    const client = await connect();
    const body = patternBytes(100_000);
    for (const sizes of [[100_000], [1, 7, 4_096], [65_536], [33_000, 1]]) {
      client.send(chunkedHead);
      client.send(chunked(body, sizes));
      assert.ok((await client.reply()).body.equals(body), `pieces of ${sizes.join()}`);
    }
    // uWebSockets.js takes a request line that is cut inside its "HTTP/1.1" for another version: that goes whole.
    const lineBytes = chunkedHead.indexOf("\r\n") + 2;
    client.send(chunkedHead.slice(0, lineBytes));
    for (const byte of Buffer.concat([Buffer.from(chunkedHead.slice(lineBytes)), chunked(Buffer.from("body"), [3])])) {
      client.send(Uint8Array.of(byte));
      await sleep(1);
    }
    assert.equal((await client.reply()).body.toString(), "body", "sent byte by byte");
  });

  test(`${implementation}: a body over the limit is answered 413, announced or not`, async (context) => {
    const seen: string[] = [];
    let chunkBytes = 0;
    const { connect, server } = await openTestServer(context, implementation, {
      bodyBytesMax: 100_000,
      handler: (exchange) => {
        seen.push(exchange.path);
        return {
          onChunk: (chunk, isLast) => {
            chunkBytes += chunk.length;
            if (isLast) exchange.reply(200, [], "");
          },
          onAborted: (reason) => seen.push(reason),
        };
      },
    });
    const fits = await connect();
    fits.request("POST", "/fits", patternBytes(100_000));
    assert.equal((await fits.reply()).status, 200);
    assert.deepEqual(seen, ["/fits"]);
    const announced = await connect();
    announced.request("POST", "/announced", patternBytes(100_001));
    const refused = await announced.reply();
    assert.equal(refused.status, 413);
    assert.deepEqual(JSON.parse(refused.body.toString()), { code: "BODY_TOO_LARGE" });
    assert.deepEqual(seen, ["/fits"], "the handler was not asked");
    chunkBytes = 0;
    const unannounced = await connect();
    unannounced.send(chunkedHead);
    unannounced.send(chunked(patternBytes(3_000_000), [10_000]));
    assert.equal((await unannounced.reply()).status, 413);
    assert.deepEqual(seen, ["/fits", "/", "too-large"]);
    assert.ok(chunkBytes <= 100_000, "no chunk over the limit was handed on");
    assert.equal(server.stats().pending, 0);
  });

  test(`${implementation}: a body that stops or drips is answered 408, a slow one is not`, async (context) => {
    const aborted: string[] = [];
    const { connect } = await openTestServer(context, implementation, {
      bodyIdleMsMax: 400,
      bodyBytesPerSecondMin: 200,
      handler: (exchange) =>
        gather(
          (body) => exchange.reply(200, textHeaders, String(body.length)),
          (reason) => aborted.push(reason),
        ),
    });
    const stops = await connect();
    stops.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf.");
    const never = await connect();
    never.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n");
    const drips = await connect();
    drips.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n");
    const dripping = setInterval(() => drips.send("."), 50);
    for (const client of [stops, never, drips]) {
      const { status, body } = await client.reply();
      assert.equal(status, 408);
      assert.deepEqual(JSON.parse(body.toString()), { code: "REQUEST_TIMEOUT" });
    }
    clearInterval(dripping);
    assert.deepEqual(aborted, ["timeout", "timeout", "timeout"]);
    const slow = await connect();
    slow.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n");
    for (let sent = 0; sent < 1_000; sent += 200) {
      await sleep(250);
      slow.send("x".repeat(200));
    }
    assert.equal((await slow.reply()).body.toString(), "1000");
  });

  test(`${implementation}: a client that leaves in the middle of its body is told to the handler`, async (context) => {
    const events: string[] = [];
    const { connect, server } = await openTestServer(context, implementation, {
      handler: (exchange) => ({
        onChunk: (chunk, isLast) => events.push(`${chunk.length} ${isLast}`),
        onAborted: (reason) => {
          events.push(reason);
          assert.equal(exchange.reply(200, [], ""), false);
          assert.equal(exchange.startReply(200, [], null), null);
        },
      }),
    });
    for (const leave of ["reset", "halfClose", "close"] as const) {
      events.length = 0;
      const client = await connect();
      client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf.");
      await eventually(() => events.length === 1, "the first half arrived");
      client[leave]();
      await eventually(() => events.length === 2, `${leave} was noticed`);
      assert.deepEqual(events, ["5 false", "closed"]);
    }
    await eventually(() => server.stats().connections === 0, "no connection is left");
    assert.equal(server.stats().pending, 0);
  });

  test(`${implementation}: a client that leaves before its reply is not acknowledged`, async (context) => {
    const events: string[] = [];
    let waiting: HttpExchange | null = null;
    const { connect, server } = await openTestServer(context, implementation, {
      handler: (exchange) =>
        gather(
          () => (waiting = exchange),
          (reason) => events.push(reason),
        ),
    });
    for (const leave of ["reset", "halfClose", "close"] as const) {
      events.length = 0;
      waiting = null;
      const client = await connect();
      client.request("POST", "/", "body");
      await eventually(() => waiting !== null, "the request arrived");
      client[leave]();
      await eventually(() => events.length === 1, `${leave} was noticed`);
      assert.deepEqual(events, ["closed"]);
      assert.equal((waiting as unknown as HttpExchange).reply(200, [], "late"), false);
      if (leave === "halfClose") assert.equal((await client.rest()).toString(), "");
    }
    assert.equal(server.stats().pending, 0);
  });

  test(`${implementation}: a length that lies is refused, waited for, or taken for another request`, async (context) => {
    let handled = 0;
    const { connect } = await openTestServer(context, implementation, {
      bodyIdleMsMax: 300,
      handler: (exchange) => {
        handled++;
        return echo(exchange);
      },
    });
    const short = await connect();
    short.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody and more\r\n\r\n");
    const answer = (await short.rest()).toString("latin1");
    assert.ok(!answer.includes("and more"));
    assert.ok(handled <= 1);
    const huge = await connect();
    huge.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999999999999\r\n\r\nbody");
    assert.match((await huge.reply().catch(() => ({ status: 400 }))).status.toString(), /^(400|413)$/);
    const long = await connect();
    long.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nbody");
    assert.equal((await long.reply()).status, 408);
  });

  test(`${implementation}: a reply before the end of the body discards the rest`, async (context) => {
    let chunks = 0;
    const { connect, errors } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        if (exchange.path === "/head") {
          exchange.reply(503, ["retry-after", "1"], "busy");
          return null;
        }
        return {
          onChunk: () => {
            chunks++;
            exchange.reply(503, ["retry-after", "1"], "busy");
          },
          onAborted: () => assert.fail("the reply was sent"),
        };
      },
    });
    for (const path of ["/head", "/chunk"]) {
      const client = await connect();
      client.request("POST", path, patternBytes(4_000_000));
      const { status, body } = await client.reply();
      assert.equal(status, 503);
      assert.equal(body.toString(), "busy");
    }
    assert.equal(chunks, 1);
    assert.deepEqual(errors, []);
  });

  test(
    `${implementation}: a body of 100 bytes a second gets through, if that is allowed`,
    { skip: skipLong },
    async (context) => {
      const { connect } = await openTestServer(context, implementation, { bodyBytesPerSecondMin: 50, handler: echo });
      const client = await connect();
      client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2000\r\n\r\n");
      for (let second = 0; second < 20; second++) {
        client.send("x".repeat(100));
        await sleep(1_000);
      }
      assert.equal((await client.reply()).body.length, 2_000);
    },
  );

  test(
    `${implementation}: silent connections and unread replies are closed in time`,
    { skip: skipLong },
    async (context) => {
      const { connect, server } = await openTestServer(context, implementation, {
        handler: (exchange) => gather(() => exchange.reply(200, textHeaders, patternBytes(40_000_000))),
      });
      const [silent, halfHead, deaf] = [await connect(), await connect(), await connect()];
      halfHead.send("POST / HTTP/1.1\r\nho");
      deaf.socket.pause();
      deaf.request("GET", "/");
      assert.ok((await silent.closes(13_000)) && (await halfHead.closes(2_000)));
      for (let waitedSeconds = 0; server.stats().connections > 0 && waitedSeconds < 12; waitedSeconds++) {
        await sleep(1_000);
      }
      assert.deepEqual(server.stats(), { connections: 0, webSockets: 0, pending: 0, requests: 1 });
    },
  );
}
