import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { WebSocket, type RawData } from "ws";
import type { RequestHead, WebSocketConnection, WebSocketRoute } from "../../../src/main/sockets/http-server.js";
import {
  echo,
  eventually,
  openTestServer,
  patternBytes,
  skipLong,
  textHeaders,
  type Implementation,
} from "./test-server.js";

const mib = 1024 * 1024;

/** One accepted connection, with all that happened to it. */
class Session {
  connection: WebSocketConnection | null = null;
  readonly messages: (string | Buffer)[] = [];
  closedWith: number | null = null;
  drains = 0;
  onMessage: (session: Session, message: string | Buffer) => void = () => undefined;

  send(message: string | Uint8Array): string {
    assert.ok(this.connection !== null);
    return this.connection.send(message);
  }
}

interface Fixture {
  readonly port: number;
  readonly sessions: Session[];
  readonly errors: unknown[];
  readonly webSocketCount: () => number;
  /** A client of the `ws` package, not yet open, ended with the test. */
  readonly dial: (pathAndQuery: string, headers?: Record<string, string>) => WebSocket;
}

async function openFixture(
  context: TestContext,
  implementation: Implementation,
  options: Partial<WebSocketRoute> & { readonly onMessage?: Session["onMessage"] } = {},
): Promise<Fixture> {
  const sessions: Session[] = [];
  const accept = (): ReturnType<WebSocketRoute["accept"]> => {
    const session = new Session();
    session.onMessage = options.onMessage ?? session.onMessage;
    sessions.push(session);
    return {
      onOpen: (connection) => (session.connection = connection),
      onMessage: (message, isBinary) => {
        // A copy: the bytes are only valid here.
        const copy = Buffer.from(message);
        const value = isBinary ? copy : copy.toString();
        session.messages.push(value);
        session.onMessage(session, value);
      },
      onDrained: () => session.drains++,
      onClosed: (code) => (session.closedWith = code),
    };
  };
  const route = { accept, messageBytesMax: mib, bufferedBytesMax: 4 * mib, idleSecondsMax: 60, ...options };
  const { port, errors, server } = await openTestServer(context, implementation, {
    handler: echo,
    webSockets: { "/v1/stream": route },
  });
  const clients: WebSocket[] = [];
  context.after(() => {
    for (const client of clients) client.terminate();
  });
  const dial = (pathAndQuery: string, headers: Record<string, string> = {}): WebSocket => {
    const client = new WebSocket(`ws://127.0.0.1:${port}${pathAndQuery}`, { headers, perMessageDeflate: true });
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  };
  return { port, sessions, errors, webSocketCount: () => server.stats().webSockets, dial };
}

/** The next `count` messages that a client gets. */
function receive(client: WebSocket, count: number): Promise<(string | Buffer)[]> {
  return new Promise((resolve, reject) => {
    const messages: (string | Buffer)[] = [];
    client.on("message", (data: RawData, isBinary: boolean) => {
      const buffer = data as Buffer;
      messages.push(isBinary ? Buffer.from(buffer) : buffer.toString());
      if (messages.length === count) resolve(messages);
    });
    client.on("close", () => reject(new Error(`closed after ${messages.length} of ${count} messages`)));
  });
}

async function closeCode(client: WebSocket): Promise<number> {
  const [code] = (await once(client, "close")) as [number];
  return code;
}

/** WebSockets, with the `ws` package as the client. */
export function testWebSockets(implementation: Implementation): void {
  test(`${implementation}: a handshake shows its request; text and bytes come back as sent`, async (context) => {
    const heads: unknown[] = [];
    const accept = (head: RequestHead): ReturnType<WebSocketRoute["accept"]> => {
      const { method, path, query } = head;
      heads.push({ method, path, query, token: head.header("authorization"), address: head.remoteAddress() });
      let connection: WebSocketConnection | null = null;
      return {
        onOpen: (opened) => (connection = opened),
        onMessage: (message, isBinary) => {
          connection?.send(isBinary ? message : Buffer.from(message).toString());
        },
        onDrained: () => undefined,
        onClosed: () => undefined,
      };
    };
    const { dial, webSocketCount } = await openFixture(context, implementation, { accept });
    const client = dial("/v1/stream?credits=5", { authorization: "Bearer x" });
    await once(client, "open");
    assert.deepEqual(heads, [
      { method: "GET", path: "/v1/stream", query: "credits=5", token: "Bearer x", address: "127.0.0.1" },
    ]);
    assert.equal(client.extensions, "", "no compression is agreed on");
    const sent = ["text ä", Buffer.from([0, 1, 255]), "", Buffer.alloc(0), patternBytes(mib)];
    const received = receive(client, sent.length);
    for (const message of sent) client.send(message);
    assert.deepEqual(await received, sent);
    assert.equal(webSocketCount(), 1);
    client.close();
    await eventually(() => webSocketCount() === 0, "the connection is gone");
  });

  test(`${implementation}: fragments are one message, and many messages keep their order`, async (context) => {
    const { dial, sessions } = await openFixture(context, implementation, {
      onMessage: (session, message) => void session.send(message),
    });
    const client = dial("/v1/stream");
    await once(client, "open");
    const received = receive(client, 10_001);
    for (const [index, part] of ["frag", "men", "ts"].entries()) client.send(part, { fin: index === 2 });
    for (let index = 0; index < 10_000; index++) client.send(`message ${index}`);
    const messages = await received;
    assert.equal(messages[0], "fragments");
    assert.ok(messages.slice(1).every((message, index) => message === `message ${index}`));
    assert.equal(sessions.length, 1);
  });

  test(`${implementation}: a handshake can be refused, also by a mistake`, async (context) => {
    const accept = ({ query }: RequestHead): ReturnType<WebSocketRoute["accept"]> => {
      if (query === "throw") throw new Error("thrown by the route");
      return { status: 401, headers: ["www-authenticate", "Bearer", ...textHeaders], body: "who are you?" };
    };
    const { dial, errors, webSocketCount } = await openFixture(context, implementation, { accept });
    for (const [query, status] of [
      ["", 401],
      ["throw", 500],
    ] as const) {
      const client = dial(`/v1/stream?${query}`);
      const [, response] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
      assert.equal(response.statusCode, status);
      response.resume();
    }
    assert.deepEqual(
      errors.map((error) => (error as Error).message),
      ["thrown by the route"],
    );
    assert.equal(webSocketCount(), 0);
  });

  test(`${implementation}: plain requests, and upgrades elsewhere, go to the HTTP handler`, async (context) => {
    const { port, dial, sessions } = await openFixture(context, implementation);
    const response = await fetch(`http://127.0.0.1:${port}/v1/stream`, { method: "POST", body: "plain" });
    assert.equal(await response.text(), "plain");
    const plain = await fetch(`http://127.0.0.1:${port}/v1/stream`);
    assert.equal(plain.status, 200);
    const elsewhere = dial("/elsewhere");
    const [, refused] = (await once(elsewhere, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(refused.statusCode, 200);
    assert.equal(sessions.length, 0);
  });

  test(`${implementation}: each side learns how the other closed`, async (context) => {
    const { dial, sessions } = await openFixture(context, implementation);
    const [first, second, third] = [dial("/v1/stream"), dial("/v1/stream"), dial("/v1/stream")];
    await Promise.all([first, second, third].map((client) => once(client, "open")));
    await eventually(() => sessions.length === 3, "all are open");
    first.close(4001, "done");
    await eventually(() => sessions.some(({ closedWith }) => closedWith === 4001), "the server saw the code");
    second.terminate();
    await eventually(() => sessions.some(({ closedWith }) => closedWith === 1006), "the server saw the cut");
    const open = sessions.find(({ closedWith }) => closedWith === null);
    assert.ok(open?.connection);
    const closed = once(third, "close") as Promise<[number, Buffer]>;
    open.connection.close(4002, "go away");
    assert.equal(open.send("late"), "closed");
    const [code, reason] = await closed;
    assert.equal(code, 4002);
    assert.equal(reason.toString(), "go away");
    await eventually(() => open.closedWith === 4002, "onClosed was called");
    open.connection.close(1000, "again");
    assert.equal(open.send("late"), "closed");
    assert.equal(open.connection.bufferedBytes, 0);
  });

  test(`${implementation}: a message over the limit closes the connection, one at the limit does not`, async (context) => {
    const { dial, sessions } = await openFixture(context, implementation, { messageBytesMax: 100_000 });
    const client = dial("/v1/stream");
    await once(client, "open");
    client.send(patternBytes(100_000));
    await eventually(() => sessions[0]?.messages.length === 1, "the message at the limit arrived");
    client.send(patternBytes(100_001));
    assert.ok([1006, 1009].includes(await closeCode(client)));
    await eventually(() => sessions[0]?.closedWith !== null, "onClosed was called");
    assert.equal(sessions[0]?.messages.length, 1);
  });

  test(`${implementation}: a slow reader is reported, drained, and cut when too much waits`, async (context) => {
    const { dial, sessions, webSocketCount } = await openFixture(context, implementation, {
      bufferedBytesMax: 20 * mib,
    });
    const client = dial("/v1/stream");
    await once(client, "open");
    await eventually(() => sessions[0]?.connection !== undefined, "the session is open");
    const session = sessions[0] as Session;
    client.pause();
    const message = patternBytes(mib);
    let sent = 0;
    while (session.send(message) === "sent") sent++;
    assert.ok(sent < 100);
    assert.ok((session.connection?.bufferedBytes ?? 0) > 0);
    assert.equal(session.drains, 0);
    const received = receive(client, sent + 1);
    client.resume();
    assert.ok((await received).every((value) => message.equals(value as Buffer)));
    await eventually(() => session.drains === 1, "the session was told that it is drained");
    assert.equal(session.connection?.bufferedBytes, 0);
    client.pause();
    const outcomes = new Set<string>();
    for (let count = 0; count < 200 && !outcomes.has("closed"); count++) outcomes.add(session.send(message));
    assert.deepEqual([...outcomes], ["sent", "slow", "closed"]);
    client.resume();
    assert.equal(await closeCode(client), 1013, "what was queued came first, then the close frame");
    await eventually(() => session.closedWith === 1013, "onClosed was called");
    assert.equal(webSocketCount(), 0);
  });

  test(`${implementation}: what a listener throws is reported, and the connection goes on`, async (context) => {
    const { dial, errors, sessions } = await openFixture(context, implementation, {
      onMessage: (_, message) => {
        if (message === "throw") throw new Error("thrown by the listener");
      },
    });
    const client = dial("/v1/stream");
    await once(client, "open");
    client.send("throw");
    client.send("next");
    await eventually(() => sessions[0]?.messages.length === 2, "the next message came");
    assert.equal((errors[0] as Error).message, "thrown by the listener");
  });

  test(
    `${implementation}: who answers pings may be silent, who does not is closed`,
    { skip: skipLong },
    async (context) => {
      const { dial, sessions } = await openFixture(context, implementation, { idleSecondsMax: 8 });
      const alive = dial("/v1/stream");
      await once(alive, "open");
      const dead = dial("/v1/stream");
      await once(dead, "open");
      // It neither reads nor answers any more.
      dead.pause();
      for (let waitedSeconds = 0; waitedSeconds < 25; waitedSeconds++) await sleep(1_000);
      assert.deepEqual(
        sessions.map(({ closedWith }) => closedWith),
        [null, 1006],
      );
      assert.equal(alive.readyState, WebSocket.OPEN);
    },
  );
}
