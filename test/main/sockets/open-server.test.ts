import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerOptions } from "../../../src/main/sockets/http-server.js";
import { openServer } from "../../../src/main/sockets/open-server.js";
import { loadUws } from "../../../src/main/sockets/uws-server.js";
import { echo } from "./test-server.js";

const options: ServerOptions = {
  host: "127.0.0.1",
  port: 0,
  handler: echo,
  webSockets: {},
  bodyBytesMax: 1_000,
  bodyIdleMsMax: 1_000,
  bodyBytesPerSecondMin: 1,
  connectionsMax: 10,
  renderError: ({ code }) => ({ headers: [], body: code }),
  onError: (error) => assert.fail(String(error)),
};

function whyUwsFails(): string | null {
  try {
    loadUws();
    return null;
  } catch (error) {
    return String(error);
  }
}

async function ask(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "hello" });
  return response.text();
}

test("auto takes uWebSockets.js where it loads, else the fallback, and says why", async () => {
  const failure = whyUwsFails();
  const { server, fallbackReason } = await openServer(options);
  assert.equal(server.implementation, failure === null ? "uws" : "node");
  assert.equal(fallbackReason === null, failure === null);
  if (fallbackReason !== null) assert.doesNotMatch(fallbackReason, /\n/, "one line, for the log");
  assert.equal(await ask(server.port), "hello");
  assert.equal(await server.close(1_000), true);
});

test("node is taken when it is asked for", async () => {
  const { server, fallbackReason } = await openServer(options, "node");
  assert.equal(server.implementation, "node");
  assert.equal(fallbackReason, null);
  assert.equal(await ask(server.port), "hello");
  assert.equal(await server.close(1_000), true);
});

test("uws is an error where it does not load", async () => {
  if (whyUwsFails() !== null) {
    await assert.rejects(openServer(options, "uws"), /uWS/);
    return;
  }
  const { server } = await openServer(options, "uws");
  assert.equal(server.implementation, "uws");
  await server.close(1_000);
});
