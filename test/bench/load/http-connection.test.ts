import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { HttpConnection, httpRequest } from "../../../bench/load/http-connection.js";

const reply = (status: string, body: string, length = "Content-Length") =>
  `HTTP/1.1 ${status}\r\n${length}: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

describe("HttpConnection", () => {
  let peer: Socket;
  const server = createServer((socket) => {
    peer = socket;
  });
  let connection: HttpConnection;
  const closed: string[] = [];

  before(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    connection = await HttpConnection.open(url, (reason) => closed.push(reason));
    if (peer === undefined) await once(server, "connection");
  });
  after(() => {
    connection.close();
    server.close();
  });

  function exchange(...parts: readonly string[]): Promise<readonly [number, string]> {
    return new Promise((resolve) => {
      connection.send(Buffer.from("x"), (status, body) => resolve([status, body]));
      let delayMs = 0;
      for (const part of parts) setTimeout(() => peer.write(part), (delayMs += 5));
    });
  }

  test("a reply in one piece", async () => {
    assert.deepEqual(await exchange(reply("200 OK", '{"accepted":1}')), [200, ""]);
  });

  test("a reply cut anywhere", async () => {
    const whole = reply("503 Service Unavailable", "späť", "content-length");
    for (const at of [3, 20, whole.indexOf("\r\n\r\n") + 2, whole.length - 1]) {
      assert.deepEqual(await exchange(whole.slice(0, at), whole.slice(at)), [503, "späť"]);
    }
  });

  test("a reply without a body", async () => {
    assert.deepEqual(await exchange("HTTP/1.1 204 No Content\r\n\r\n"), [204, ""]);
  });

  test("the end of a connection is told once", async () => {
    peer.destroy();
    while (closed.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(closed.length, 1);
    // A peer that still had bytes of ours to read resets.
    assert.match(closed[0] ?? "", /^the server closed the connection$|ECONNRESET/);
  });
});

test("a request's bytes", () => {
  const bytes = httpRequest(new URL("http://127.0.0.1:81"), "/v1/data", "application/json", Buffer.from("{}"));
  assert.match(
    bytes.toString(),
    /^POST \/v1\/data HTTP\/1\.1\r\nHost: 127\.0\.0\.1:81\r\n[^{]*Content-Length: 2\r\n\r\n\{\}$/,
  );
});
