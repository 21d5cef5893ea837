import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpExchange } from "../../../src/main/sockets/http-server.js";
import type { RawClient } from "./raw-client.js";
import {
  echo,
  eventually,
  gather,
  openTestServer,
  patternBytes,
  textHeaders,
  type Implementation,
} from "./test-server.js";

/** Requests and whole replies: what a handler sees, and what the client gets. */
export function testRequests(implementation: Implementation): void {
  test(`${implementation}: a handler sees the request as it was sent`, async (context) => {
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        const { method, path, query, contentLength } = exchange;
        const seen = {
          method,
          path,
          query,
          contentLength,
          type: exchange.header("content-type"),
          key: exchange.header("idempotency-key"),
          absent: exchange.header("x-absent"),
          address: exchange.remoteAddress(),
        };
        return gather((body) => exchange.reply(200, textHeaders, JSON.stringify({ ...seen, body: body.toString() })));
      },
    });
    const client = await connect();
    client.request("POST", "/v1/t%20x?a=1&b=%20", "héllo", ["Content-Type: text/csv", "IDEMPOTENCY-KEY: k-1"]);
    assert.deepEqual(JSON.parse((await client.reply()).body.toString()), {
      method: "POST",
      path: "/v1/t%20x",
      query: "a=1&b=%20",
      contentLength: 6,
      type: "text/csv",
      key: "k-1",
      absent: "",
      address: "127.0.0.1",
      body: "héllo",
    });
  });

  test(`${implementation}: headers are closed once the handler has returned`, async (context) => {
    const { connect, errors } = await openTestServer(context, implementation, {
      handler: (exchange) =>
        gather(() => {
          for (const read of [() => exchange.header("host"), () => exchange.query, () => exchange.remoteAddress()]) {
            assert.throws(read, /while the handler runs/);
          }
          exchange.reply(200, textHeaders, "ok");
        }),
    });
    const client = await connect();
    client.request("POST", "/", "x");
    assert.equal((await client.reply()).status, 200);
    assert.deepEqual(errors, []);
  });

  test(`${implementation}: without a body there is one empty last chunk; HEAD gets no body`, async (context) => {
    const chunks: [number, boolean][] = [];
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => ({
        onChunk: (chunk, isLast) => {
          chunks.push([chunk.length, isLast]);
          exchange.reply(200, textHeaders, "twelve bytes");
        },
        onAborted: () => undefined,
      }),
    });
    const client = await connect();
    client.request("GET", "/");
    assert.equal((await client.reply()).body.toString(), "twelve bytes");
    client.request("HEAD", "/");
    const head = await client.reply(true);
    assert.equal(head.headers.get("content-length"), "12");
    client.request("DELETE", "/");
    assert.equal((await client.reply()).body.toString(), "twelve bytes", "the reply to HEAD had no body");
    assert.deepEqual(chunks, [
      [0, true],
      [0, true],
      [0, true],
    ]);
  });

  test(`${implementation}: status, headers and text of a reply arrive as given`, async (context) => {
    const replies: Record<string, (exchange: HttpExchange) => boolean> = {
      "/none": (exchange) => exchange.reply(204, [], ""),
      "/late": (exchange) => exchange.reply(503, ["retry-after", "1", "x-a", "b"], "später"),
      "/plain": (exchange) => exchange.reply(200, [], ""),
      "/shared": (exchange) => exchange.reply(200, [], new Uint8Array(new SharedArrayBuffer(3)).fill(65)),
    };
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => gather(() => void replies[exchange.path]?.(exchange)),
    });
    const client = await connect();
    client.request("GET", "/none");
    const none = await client.reply();
    assert.equal(none.status, 204);
    assert.equal(none.headers.get("content-length"), undefined);
    client.request("GET", "/late");
    const late = await client.reply();
    assert.equal(late.status, 503);
    assert.equal(late.headers.get("retry-after"), "1");
    assert.equal(late.headers.get("x-a"), "b");
    assert.equal(late.headers.get("content-length"), "7");
    assert.equal(late.body.toString(), "später");
    client.request("GET", "/plain");
    assert.equal((await client.reply()).headers.get("content-length"), "0");
    client.request("GET", "/shared");
    assert.equal((await client.reply()).body.toString(), "AAA", "a body may lie in shared memory");
  });

  test(`${implementation}: a reply may come late, and only once`, async (context) => {
    const outcomes: boolean[] = [];
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) =>
        gather(() => {
          setTimeout(() => {
            outcomes.push(exchange.reply(200, textHeaders, "first"), exchange.reply(200, textHeaders, "second"));
            assert.equal(exchange.startReply(200, [], null), null);
          }, 20);
        }),
    });
    const client = await connect();
    client.request("GET", "/");
    assert.equal((await client.reply()).body.toString(), "first");
    client.request("GET", "/");
    assert.equal((await client.reply()).body.toString(), "first");
    assert.deepEqual(outcomes, [true, false, true, false]);
  });

  test(`${implementation}: what a handler or listener throws is reported and answered 500`, async (context) => {
    const { connect, errors, server } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        if (exchange.path === "/now") throw new Error("now");
        if (exchange.path === "/split") exchange.reply(200, ["x-a", "b\r\nx-c: d"], "");
        return gather(() => {
          throw new Error("later");
        });
      },
    });
    const client = await connect();
    for (const path of ["/now", "/later", "/split"]) {
      client.request("POST", path, "body");
      const { status, body, headers } = await client.reply();
      assert.equal(status, 500, path);
      assert.equal(headers.get("x-c"), undefined);
      assert.deepEqual(JSON.parse(body.toString()), { code: "INTERNAL" });
    }
    const messages = errors.map((error) => (error as Error).message);
    assert.deepEqual(messages, ["now", "later", "a reply header is one line"]);
    assert.equal(server.stats().pending, 0);
  });

  test(`${implementation}: a connection is used again, until either side says close`, async (context) => {
    const { connect, server } = await openTestServer(context, implementation, { handler: echo });
    const client = await connect();
    for (let round = 0; round < 100; round++) {
      client.request("POST", "/", `body ${round}`);
      assert.equal((await client.reply()).body.toString(), `body ${round}`);
    }
    assert.equal(server.stats().connections, 1);
    client.request("POST", "/", "last", ["connection: close"]);
    assert.equal((await client.reply()).body.toString(), "last");
    assert.ok(await client.closes());
  });

  test(`${implementation}: ten thousand requests on twenty connections, each with its own reply`, async (context) => {
    const { connect, server, errors } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        const { path } = exchange;
        return gather((body) => {
          const answer = (): boolean => exchange.reply(200, textHeaders, `${path} ${body.toString()}`);
          if (body.length % 2 === 0) answer();
          else setImmediate(answer);
        });
      },
    });
    const work = async (client: RawClient, name: number): Promise<void> => {
      for (let index = 0; index < 500; index++) {
        const body = "x".repeat((index * 7) % 300);
        client.request("POST", `/${name}/${index}`, body);
        assert.equal((await client.reply()).body.toString(), `/${name}/${index} ${body}`);
      }
    };
    await Promise.all(Array.from({ length: 20 }, async (_, name) => work(await connect(), name)));
    assert.deepEqual(server.stats(), { connections: 20, webSockets: 0, pending: 0, requests: 10_000 });
    assert.deepEqual(errors, []);
  });

  test(`${implementation}: broken requests are refused, and the server goes on`, async (context) => {
    const { connect } = await openTestServer(context, implementation, {
      handler: (exchange) => gather(() => exchange.reply(405, [], "")),
    });
    const broken = [
      "this is no request\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\nhost: test\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: abc\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: -1\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
      "\0\0\0\0\r\n\r\n",
    ];
    for (const text of broken) {
      const client = await connect();
      client.send(text);
      // Some are refused with a status, some (as the addon sees fit) by closing only.
      const answer = (await client.rest()).toString("latin1");
      assert.match(answer, /^(HTTP\/1\.1 (400|431|505) |$)/, JSON.stringify(text.slice(0, 60)));
    }
    const long = await connect();
    long.request("GET", "/", "", [`x-long: ${"x".repeat(100_000)}`]);
    assert.ok([405, 431].includes((await long.reply()).status), "long headers are served, or refused");
    const client = await connect();
    client.request("BREW", "/pot");
    const { status } = await client.reply();
    assert.ok(status === 405 || status === 400, "an unknown method gets to the handler, or is refused");
    const next = await connect();
    next.request("GET", "/");
    assert.equal((await next.reply()).status, 405);
  });

  test(`${implementation}: a pipelined request closes the connection, and neither is answered`, async (context) => {
    const aborted: string[] = [];
    let exchanges = 0;
    const { connect, server } = await openTestServer(context, implementation, {
      handler: (exchange) => {
        exchanges++;
        return gather(
          () => setTimeout(() => aborted.push(exchange.reply(200, [], "") ? "replied" : "refused"), 50),
          (reason) => aborted.push(reason),
        );
      },
    });
    for (const delayMs of [0, 10]) {
      aborted.length = 0;
      exchanges = 0;
      const client = await connect();
      client.request("POST", "/first", "body");
      if (delayMs > 0) await eventually(() => exchanges === 1, "the first request arrived");
      client.request("POST", "/second", "body");
      assert.equal((await client.rest()).toString(), "");
      await eventually(() => aborted.includes("refused"), "the late reply was refused");
      assert.equal(aborted[0], "closed");
      assert.ok(!aborted.includes("replied"));
      assert.equal(server.stats().pending, 0);
    }
  });

  test(`${implementation}: Expect: 100-continue is answered before the body`, async (context) => {
    const { connect } = await openTestServer(context, implementation, { handler: echo });
    const client = await connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
    assert.equal((await client.reply()).status, 100);
    client.send("body");
    assert.equal((await client.reply()).body.toString(), "body");
  });

  test(`${implementation}: HTTP/1.0 is answered and closed, or refused`, async (context) => {
    const { connect } = await openTestServer(context, implementation, { handler: echo });
    const client = await connect();
    client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
    assert.match((await client.rest()).toString("latin1"), /^HTTP\/1\.1 (200|505) /);
  });

  test(`${implementation}: a wish for HTTP/2 is ignored, its request served`, async (context) => {
    const { connect } = await openTestServer(context, implementation, { handler: echo });
    const client = await connect();
    const body = patternBytes(200_000);
    const wish = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA"];
    for (let round = 0; round < 2; round++) {
      client.request("POST", "/", body, wish);
      assert.ok((await client.reply()).body.equals(body));
    }
  });
}
