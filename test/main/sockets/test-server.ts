import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestContext } from "node:test";
import type {
  AbortReason,
  HttpExchange,
  HttpHandler,
  HttpServer,
  RequestListener,
  ServerOptions,
} from "../../../src/main/sockets/http-server.js";
import { openServer } from "../../../src/main/sockets/open-server.js";
import { RawClient } from "./raw-client.js";

/** The implementation that a conformance run is about. */
export type Implementation = "uws" | "node";

export const textHeaders = ["content-type", "text/plain"];

export interface TestServer {
  readonly server: HttpServer;
  readonly port: number;
  /** What the server reported to onError. */
  readonly errors: unknown[];
  /** A raw connection, closed with the test. */
  readonly connect: () => Promise<RawClient>;
}

export type TestServerOptions = Partial<ServerOptions> & { readonly handler: HttpHandler };

/** Opens a server that the end of the test closes. A test that expects no errors must look at `errors`. */
export async function openTestServer(
  context: TestContext,
  implementation: Implementation,
  options: TestServerOptions,
): Promise<TestServer> {
  const errors: unknown[] = [];
  const { server } = await openServer(
    {
      host: "127.0.0.1",
      port: 0,
      webSockets: {},
      bodyBytesMax: 8 * 1024 * 1024,
      bodyIdleMsMax: 5_000,
      bodyBytesPerSecondMin: 1,
      connectionsMax: 1_000,
      renderError: ({ code }) => ({ headers: ["content-type", "application/json"], body: JSON.stringify({ code }) }),
      onError: (error) => errors.push(error),
      ...options,
    },
    implementation,
  );
  assert.equal(server.implementation, implementation);
  const clients: RawClient[] = [];
  let isClosed = false;
  const close = server.close.bind(server);
  server.close = (timeoutMs) => {
    isClosed = true;
    return close(timeoutMs);
  };
  context.after(async () => {
    for (const client of clients) client.close();
    if (!isClosed) await close(0);
  });
  const connect = async (): Promise<RawClient> => {
    const client = await RawClient.connect(server.port);
    clients.push(client);
    return client;
  };
  return { server, port: server.port, errors, connect };
}

/** A listener that gathers the body and then calls `done`. */
export function gather(
  done: (body: Buffer) => void,
  aborted: (reason: AbortReason) => void = () => {},
): RequestListener {
  const chunks: Buffer[] = [];
  return {
    onChunk(chunk, isLast) {
      // A copy: the bytes are only valid here.
      chunks.push(Buffer.from(chunk));
      if (isLast) done(Buffer.concat(chunks));
    },
    onAborted: aborted,
  };
}

/** Replies with the body it got. */
export function echo(exchange: HttpExchange): RequestListener {
  return gather((body) => exchange.reply(200, textHeaders, body));
}

/** Waits until `isTrue`, and fails after two seconds. */
export async function eventually(isTrue: () => boolean, what: string): Promise<void> {
  for (let waitedMs = 0; !isTrue(); waitedMs += 5) {
    assert.ok(waitedMs < 2_000, `in vain: ${what}`);
    await sleep(5);
  }
}

/** Bytes that differ from place to place, so that a lost or repeated piece shows. */
export function patternBytes(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index, 0x9e37_79b1);
  return Buffer.from(words.buffer, 0, length);
}

/** For tests of fixed timeouts, which take long: the reason to skip them, or false. */
export const skipLong =
  process.env["MINIODB_TEST_ROUNDS"] === undefined ? "takes 20 s or more; runs with MINIODB_TEST_ROUNDS" : false;
