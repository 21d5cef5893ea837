/**
 * A proxy in front of an S3 server that behaves as networks and overloaded stores do, by a switch or by a plan drawn from a
 * seed. It passes on requests as they are, their Host header too, which their signature covers, so that the server needs to
 * know nothing of it.
 *
 * ```
 * client ──▶ proxy ──▶ S3 server
 *              ├─ before: an answer of its own, a reset, silence
 *              └─ after: the server did it, but its answer is replaced, cut or lost
 * ```
 */
import {
  createServer,
  type IncomingMessage,
  request as sendRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { SeededRandom } from "./seeded-random.js";

/** The codes that S3 answers with when it cannot, and the status of each. */
const failureStatus = { InternalError: 500, ServiceUnavailable: 503, SlowDown: 503 } as const;
export type S3FailureCode = keyof typeof failureStatus;

/**
 * What one request meets.
 *
 * ```
 * none            passed on
 * answer          an error of the code; the server never sees the request
 * answerAfter     the server did it; the client gets the error
 * reset           the connection is reset after the request's head; the server never sees the request
 * resetAfter      the server did it; the connection is reset instead of an answer
 * cut             the answer's head and half of its body, then a reset
 * flip            the answer, with one bit in the middle of its body changed
 * silence         the request is read and never answered; ends with the client's own deadline
 * ```
 */
export type S3FaultKind = "none" | "answer" | "answerAfter" | "reset" | "resetAfter" | "cut" | "flip" | "silence";

export interface S3Fault {
  readonly kind: S3FaultKind;
  /** Of `answer` and `answerAfter`; without it InternalError. */
  readonly code?: S3FailureCode;
  /** Before anything happens. */
  readonly waitMs?: number;
}

/** Method and kind of a request, as far as its address tells. */
export interface S3Request {
  readonly method: string;
  /** Decoded, without the bucket. */
  readonly key: string;
  readonly operation:
    | "get"
    | "head"
    | "put"
    | "delete"
    | "list"
    | "createMultipart"
    | "putPart"
    | "completeMultipart"
    | "abortMultipart"
    | "other";
  /** It carries If-None-Match or If-Match. */
  readonly isConditional: boolean;
}

export type S3FaultPlan = (request: S3Request) => S3Fault;

export const noFault: S3Fault = { kind: "none" };

export class S3FaultProxy {
  /** Asked for each request; may be exchanged between requests. */
  plan: S3FaultPlan = () => noFault;
  /**
   * Makes the store one that does not know conditional puts: each is made by this, without the condition.
   * (The header cannot just be left out: it is signed.)
   */
  putAnyway: ((key: string, body: Uint8Array) => Promise<void>) | null = null;
  /** Requests that the proxy got, in order, faulty ones too. */
  readonly requests: S3Request[] = [];
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #port = 0;

  private constructor(target: string) {
    this.#target = new URL(target);
  }

  /** `target` is the endpoint of the real server, over plain HTTP. */
  static async start(target: string): Promise<S3FaultProxy> {
    const proxy = new S3FaultProxy(target);
    await proxy.up();
    return proxy;
  }

  /** To be given to the client in place of the server's; the same through `down` and `up`. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Nothing listens any more: connections are refused, and those under way are reset. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise((resolve) => {
      server.close(resolve);
    });
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  /** Listens again, on the port that it had. */
  async up(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.#serve(request, response).catch(() => request.socket.resetAndDestroy());
    });
    // Node would cut requests of five minutes; how long one may take is the client's matter.
    server.requestTimeout = 0;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  stop(): Promise<void> {
    return this.down();
  }

  /** The requests so far, which are forgotten. */
  takeRequests(): readonly S3Request[] {
    return this.requests.splice(0);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const described = describeRequest(request);
    this.requests.push(described);
    const fault = this.plan(described);
    if (fault.waitMs !== undefined) await delay(fault.waitMs);
    // A proxy that went down meanwhile passes nothing on.
    if (request.socket.destroyed) return;
    const { kind } = fault;
    switch (kind) {
      case "none":
        if (this.putAnyway !== null && described.isConditional && described.method === "PUT") {
          return this.#overwrite(request, response, described.key);
        }
        return this.#forward(request, (answer) => passOn(answer, response));
      case "cut":
      case "flip":
        return this.#forward(request, (answer) => passOn(answer, response, kind));
      case "answer":
        request.resume();
        return answerFailure(request, response, fault.code);
      case "answerAfter":
        return this.#forward(request, async (answer) => {
          await drain(answer);
          await answerFailure(request, response, fault.code);
        });
      case "reset":
        request.socket.resetAndDestroy();
        return;
      case "resetAfter":
        return this.#forward(request, async (answer) => {
          await drain(answer);
          request.socket.resetAndDestroy();
        });
      case "silence":
        request.resume();
    }
  }

  async #overwrite(request: IncomingMessage, response: ServerResponse, key: string): Promise<void> {
    const body = await drain(request);
    await this.putAnyway?.(key, body);
    response.writeHead(200, { etag: '"any"' });
    response.end();
  }

  /** One connection to the server per request: none is left over that the server might close at the wrong moment. */
  async #forward(request: IncomingMessage, use: (answer: IncomingMessage) => Promise<void>): Promise<void> {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const forwarded = sendRequest({
        host: this.#target.hostname,
        port: this.#target.port,
        method: request.method ?? "GET",
        path: request.url ?? "/",
        headers: headersOf(request),
        agent: false,
      });
      forwarded.once("response", resolve);
      forwarded.once("error", reject);
      // A client that gives up half way must not leave the server with a request that never ends.
      pipeline(request, forwarded).catch(reject);
    });
    await use(answer);
  }
}

export interface S3FaultOdds {
  /** Probability in [0, 1] of each kind; what is left passes. */
  readonly shares: Partial<Record<Exclude<S3FaultKind, "none">, number>>;
  /** Each request waits a time drawn below this. */
  readonly waitMsMax?: number;
}

/**
 * Faults drawn from a seed. The order in which requests come is the machine's, so that a seed gives the same odds and
 * sequence of faults, not the same run.
 */
export function randomS3Faults(random: SeededRandom, odds: S3FaultOdds): S3FaultPlan {
  const codes = Object.keys(failureStatus) as S3FailureCode[];
  const kinds = Object.entries(odds.shares) as [S3FaultKind, number][];
  return () => {
    const waitMs = odds.waitMsMax === undefined ? 0 : random.real() * odds.waitMsMax;
    const code = random.pick(codes);
    let draw = random.real();
    for (const [kind, share] of kinds) {
      if (draw < share) return { kind, code, waitMs };
      draw -= share;
    }
    return { kind: "none", waitMs };
  };
}

/** Path-style addresses only, `/bucket/key?query`. */
function describeRequest(request: IncomingMessage): S3Request {
  const { method = "GET", url = "/", headers } = request;
  const { pathname, searchParams } = new URL(url, "http://proxy");
  const key = decodeURIComponent(pathname).split("/").slice(2).join("/");
  const isConditional = headers["if-none-match"] !== undefined || headers["if-match"] !== undefined;
  return { method, key, operation: operationOf(method, key, searchParams), isConditional };
}

function operationOf(method: string, key: string, query: URLSearchParams): S3Request["operation"] {
  if (key === "") return method === "GET" ? "list" : "other";
  const hasUpload = query.has("uploadId");
  switch (method) {
    case "GET":
      return "get";
    case "HEAD":
      return "head";
    case "PUT":
      return hasUpload ? "putPart" : "put";
    case "POST":
      return query.has("uploads") ? "createMultipart" : hasUpload ? "completeMultipart" : "other";
    case "DELETE":
      return hasUpload ? "abortMultipart" : "delete";
    default:
      return "other";
  }
}

/** All of the request's headers, repeated ones too, but the one that is about its connection. */
function headersOf({ rawHeaders }: IncomingMessage): string[] {
  return rawHeaders.filter((_value, index) => rawHeaders[index & ~1]?.toLowerCase() !== "connection");
}

async function passOn(answer: IncomingMessage, response: ServerResponse, damage?: "cut" | "flip"): Promise<void> {
  response.sendDate = false;
  const { statusCode = 500, statusMessage = "" } = answer;
  response.writeHead(statusCode, statusMessage, headersOf(answer));
  if (damage === undefined) return pipeline(answer, response);
  const body = await drain(answer);
  if (damage === "flip") {
    if (body.length > 0) body.writeUInt8(body.readUInt8(body.length >> 1) ^ 1, body.length >> 1);
    response.end(body);
    return;
  }
  const half = body.subarray(0, body.length >> 1);
  response.write(half, () => response.socket?.resetAndDestroy());
  if (half.length === 0) response.socket?.resetAndDestroy();
}

/** The body that S3 has for errors; see "Error responses" in its API reference. */
async function answerFailure(
  request: IncomingMessage,
  response: ServerResponse,
  code: S3FailureCode = "InternalError",
): Promise<void> {
  // An answer before the request's end would leave the connection in an unclear state.
  if (!request.complete) await new Promise((resolve) => request.once("close", resolve).once("end", resolve));
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>By plan</Message></Error>`;
  response.writeHead(failureStatus[code], { "content-type": "application/xml" });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function drain(answer: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
