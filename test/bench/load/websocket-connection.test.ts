import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { WebSocketConnection } from "../../../bench/load/websocket-connection.js";

describe("WebSocketConnection against ws", () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  let connection: WebSocketConnection;
  let url: URL;
  const ends: string[] = [];
  let onText: (text: string) => void = () => {};

  before(async () => {
    await once(server, "listening");
    server.on("connection", (socket) => {
      // Replies with the length twice, so that two frames come in one chunk, and pads it to the length asked for.
      socket.on("message", (data: Buffer, isBinary) => {
        const sum = data.reduce((total, byte) => total + byte, 0);
        const text = `${data.length} ${sum} ${isBinary} ${"é".repeat(data.length % 100_000)}`;
        socket.ping();
        socket.send(text);
        socket.send("again");
      });
    });
    url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const events = { onText: (text: string) => onText(text), onEnd: (reason: string) => ends.push(reason) };
    connection = await WebSocketConnection.open(url, "/v1/stream?table=t", events);
  });
  after(() => {
    // It would wait half a minute for their answers to its close frames.
    for (const socket of server.clients) socket.terminate();
    server.close();
  });

  for (const bytes of [0, 20, 118, 119, 200, 65_528, 65_529, 300_000]) {
    test(`${bytes} bytes there, and as many characters back`, async () => {
      const body = Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => index * 7));
      const texts: string[] = [];
      const replied = new Promise<void>((resolve) => {
        onText = (text) => {
          texts.push(text);
          if (texts.length === 2) resolve();
        };
      });
      connection.send(Buffer.from("1234567\n"), body);
      await replied;
      const head = Buffer.from("1234567\n").reduce((total, byte) => total + byte, 0);
      const sum = body.reduce((total, byte) => total + byte, head);
      const length = bytes + 8;
      assert.ok(texts[0] === `${length} ${sum} true ${"é".repeat(length % 100_000)}`, (texts[0] ?? "").slice(0, 100));
      assert.equal(texts[1], "again");
    });
  }

  test("a close is told with its reason", async () => {
    for (const socket of server.clients) socket.close(1001, "going away");
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(ends[0], "the server closed: going away");
  });

  test("a refused handshake rejects", async () => {
    server.options.verifyClient = () => false;
    const events = { onText: () => {}, onEnd: () => {} };
    await assert.rejects(WebSocketConnection.open(url, "/", events), /did not switch protocols: HTTP\/1\.1 401/);
  });
});
