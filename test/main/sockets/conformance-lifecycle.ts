import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { WebSocket } from "ws";
import type { HttpExchange, WebSocketListener } from "../../../src/main/sockets/http-server.js";
import { echo, eventually, gather, openTestServer, textHeaders, type Implementation } from "./test-server.js";

async function isRefused(port: number): Promise<boolean> {
  const socket = connectTo({ port, host: "127.0.0.1" });
  const isOpen = await Promise.race([
    once(socket, "connect").then(() => true),
    once(socket, "error").then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return !isOpen;
}

/** Binding, limits on connections, and the end. */
export function testLifecycle(implementation: Implementation): void {
  test(`${implementation}: a port that is taken is an error`, async (context) => {
    const { port, server } = await openTestServer(context, implementation, { handler: echo });
    assert.equal(server.host, "127.0.0.1");
    assert.ok(port > 0);
    await assert.rejects(openTestServer(context, implementation, { handler: echo, port }), /cannot listen|EADDRINUSE/);
    await assert.rejects(
      openTestServer(context, implementation, { handler: echo, host: "192.0.2.1" }),
      /cannot listen|EADDRNOTAVAIL/,
    );
  });

  test(`${implementation}: connections over the limit are closed, and there is room again later`, async (context) => {
    const { connect, server } = await openTestServer(context, implementation, { handler: echo, connectionsMax: 2 });
    const [first, second] = [await connect(), await connect()];
    first.request("POST", "/", "first");
    assert.equal((await first.reply()).body.toString(), "first");
    const third = await connect();
    assert.ok(await third.closes(), "the third is closed");
    second.request("POST", "/", "second");
    assert.equal((await second.reply()).body.toString(), "second");
    assert.equal(server.stats().connections, 2);
    first.close();
    await eventually(() => server.stats().connections === 1, "the first is gone");
    const fourth = await connect();
    fourth.request("POST", "/", "fourth");
    assert.equal((await fourth.reply()).body.toString(), "fourth");
  });

  test(`${implementation}: WebSockets count as connections`, async (context) => {
    const route = {
      accept: () => ({ onOpen: () => {}, onMessage: () => {}, onDrained: () => {}, onClosed: () => {} }),
      messageBytesMax: 1_000,
      bufferedBytesMax: 1_000,
      idleSecondsMax: 60,
    };
    const { connect, port, server } = await openTestServer(context, implementation, {
      handler: echo,
      connectionsMax: 2,
      webSockets: { "/ws": route },
    });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    context.after(() => client.terminate());
    await once(client, "open");
    assert.deepEqual(server.stats(), { connections: 1, webSockets: 1, pending: 0, requests: 0 });
    const second = await connect();
    second.request("POST", "/", "second");
    await second.reply();
    const third = await connect();
    assert.ok(await third.closes());
    client.terminate();
    await eventually(() => server.stats().connections === 1, "the WebSocket is gone");
    assert.equal(server.stats().webSockets, 0);
  });

  test(`${implementation}: after stopAccepting, open connections get one more reply`, async (context) => {
    const { connect, port, server } = await openTestServer(context, implementation, {
      handler: (exchange) => gather((body) => setTimeout(() => exchange.reply(200, textHeaders, body), 50)),
    });
    const client = await connect();
    client.request("POST", "/", "one");
    await client.reply();
    client.request("POST", "/", "two");
    await eventually(() => server.stats().pending === 1, "the second is under way");
    server.stopAccepting();
    server.stopAccepting();
    assert.ok(await isRefused(port));
    const { body, headers } = await client.reply();
    assert.equal(body.toString(), "two");
    assert.equal(headers.get("connection"), "close");
    assert.ok(await client.closes());
  });

  test(`${implementation}: close waits for replies that are pending`, async (context) => {
    const waiting: HttpExchange[] = [];
    const { connect, port, server } = await openTestServer(context, implementation, {
      handler: (exchange) => gather(() => waiting.push(exchange)),
    });
    const clients = [await connect(), await connect()];
    const idle = await connect();
    for (const client of clients) client.request("POST", "/", "body");
    await eventually(() => waiting.length === 2, "both are under way");
    const closed = server.close(5_000);
    assert.ok(await isRefused(port));
    await sleep(50);
    const large = "x".repeat(3_000_000);
    for (const exchange of waiting) assert.ok(exchange.reply(200, textHeaders, large));
    for (const client of clients) assert.equal((await client.reply()).body.length, large.length);
    assert.equal(await closed, true);
    for (const client of [...clients, idle]) assert.ok(await client.closes());
  });

  test(`${implementation}: close gives up on replies that do not come`, async (context) => {
    const aborted: string[] = [];
    let waiting: HttpExchange | null = null;
    const { connect, server } = await openTestServer(context, implementation, {
      handler: (exchange) =>
        gather(
          () => (waiting = exchange),
          (reason) => aborted.push(reason),
        ),
    });
    const client = await connect();
    client.request("POST", "/", "body");
    await eventually(() => waiting !== null, "it is under way");
    const startMs = performance.now();
    assert.equal(await server.close(100), false);
    assert.ok(performance.now() - startMs < 1_000);
    assert.equal((await client.rest()).toString(), "");
    await eventually(() => aborted.length === 1, "the listener was told");
    assert.deepEqual(aborted, ["closed"]);
    assert.equal((waiting as unknown as HttpExchange).reply(200, [], ""), false);
  });

  test(`${implementation}: close tells WebSockets 1001`, async (context) => {
    const codes: number[] = [];
    const accept = (): WebSocketListener => ({
      onOpen: () => {},
      onMessage: () => {},
      onDrained: () => {},
      onClosed: (code) => codes.push(code),
    });
    const route = { accept, messageBytesMax: 1_000, bufferedBytesMax: 1_000, idleSecondsMax: 60 };
    const { port, server } = await openTestServer(context, implementation, {
      handler: echo,
      webSockets: { "/ws": route },
    });
    const polite = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    const deaf = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    context.after(() => deaf.terminate());
    await Promise.all([once(polite, "open"), once(deaf, "open")]);
    deaf.pause();
    const closed = once(polite, "close") as Promise<[number]>;
    assert.equal(await server.close(2_000), true);
    assert.equal((await closed)[0], 1001);
    assert.deepEqual(codes, [1001, 1001]);
    assert.equal(server.stats().webSockets, 0);
  });
}
