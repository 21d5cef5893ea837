import { MiniodbError } from "../../../shared/errors.js";
import type { LiveService } from "../../live/live-service.js";
import type { LiveSubscription, SubscriptionSink } from "../../live/live-subscription.js";
import type { RequestHead, UpgradeRefusal, WebSocketConnection, WebSocketListener } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import { errorReply } from "../rest/write-reply.js";
import { parseLiveMessage, parseLiveQuery, type LiveMessage, type SubscribeMessage } from "./live-message.js";

export interface LiveSessionOptions {
  readonly live: LiveService;
  readonly metrics: Metrics;
  /** Of one connection. */
  readonly subscriptionsMax: number;
  readonly onInternal: (error: unknown) => void;
}

/** Decides about a handshake on /v1/subscribe: a session, or 400 for a query string that cannot be. */
export function acceptSubscriber(head: RequestHead, options: LiveSessionOptions): WebSocketListener | UpgradeRefusal {
  try {
    return new LiveSession(parseLiveQuery(new URLSearchParams(head.query)), options);
  } catch (error) {
    if (!(error instanceof MiniodbError)) throw error;
    const { status, body } = errorReply(error);
    return { status, headers: ["content-type", "application/json"], body };
  }
}

/**
 * One connection of /v1/subscribe with its subscriptions, each with an id of the client's choice.
 *
 * ```
 * server: {"type":"welcome","subscriptions_max":16}
 * client: {"type":"subscribe","id":"a","table":"cpu","filter":"temp > 3"}                  (live-message.ts)
 * server: {"type":"subscribed","id":"a","table":"cpu","token":"..."}
 * server: {"type":"rows","id":"a","rows":[{...},...],"token":"..."}                        in sequence order, each row once
 * server: {"type":"progress","id":"a","token":"..."}                                       nothing passed the filter
 * server: {"type":"error","id":"a","code":"...","message":"...","token":"..."}             the subscription has ended
 * ```
 * A token stands behind everything that came before it: a client that subscribes with the last one that it has gets the
 * next row. A connection that does not read is sent nothing until it does; see LiveService for how long.
 */
class LiveSession implements WebSocketListener {
  readonly #first: SubscribeMessage | null;
  readonly #options: LiveSessionOptions;
  /** Null while the subscription is being opened. */
  readonly #subscriptions = new Map<string, LiveSubscription | null>();
  #connection: WebSocketConnection | null = null;
  /** The last send left bytes behind. */
  #isSlow = false;

  constructor(first: SubscribeMessage | null, options: LiveSessionOptions) {
    this.#first = first;
    this.#options = options;
  }

  onOpen(connection: WebSocketConnection): void {
    this.#connection = connection;
    this.#send(JSON.stringify({ type: "welcome", subscriptions_max: this.#options.subscriptionsMax }));
    if (this.#first !== null) this.#obey(this.#first);
  }

  onMessage(message: Uint8Array): void {
    try {
      this.#obey(parseLiveMessage(message));
    } catch (error) {
      const known = this.#known(error);
      const { id } = known.details;
      this.#sendError(typeof id === "string" ? id : null, known);
    }
  }

  onDrained(): void {
    this.#isSlow = false;
    for (const subscription of this.#subscriptions.values()) subscription?.wake();
  }

  onClosed(): void {
    this.#connection = null;
    for (const subscription of this.#subscriptions.values()) subscription?.close();
    this.#subscriptions.clear();
  }

  #obey(message: LiveMessage): void {
    const { id } = message;
    if (message.type === "subscribe") {
      void this.#subscribe(message);
      return;
    }
    const subscription = this.#subscriptions.get(id);
    if (subscription === undefined || subscription === null) {
      // It may just have been ended from here, with a message that crossed this one.
      if (message.type === "credit") return;
      throw new MiniodbError("INVALID_REQUEST", "There is no such subscription", { field: "id", id });
    }
    if (message.type === "credit") {
      subscription.addCredits(message.credits);
      return;
    }
    this.#subscriptions.delete(id);
    subscription.close();
    this.#send(JSON.stringify({ type: "unsubscribed", id, token: subscription.token }));
  }

  /** Never rejects. */
  async #subscribe(message: SubscribeMessage): Promise<void> {
    const { live, subscriptionsMax } = this.#options;
    const { id, table, filter, from, credits } = message;
    if (this.#subscriptions.has(id)) {
      const error = new MiniodbError("INVALID_REQUEST", "This connection has a subscription of that id", {
        field: "id",
      });
      // Without its id, as that subscription goes on.
      this.#sendError(null, error);
      return;
    }
    if (this.#subscriptions.size >= subscriptionsMax) {
      this.#sendError(id, new MiniodbError("TOO_MANY_REQUESTS", `A connection has ${subscriptionsMax} subscriptions`));
      return;
    }
    this.#subscriptions.set(id, null);
    try {
      const subscription = await live.subscribe({ table, filter, from, credits, sink: this.#sink(id) });
      if (this.#connection === null) {
        subscription.close();
        return;
      }
      this.#subscriptions.set(id, subscription);
      const { name } = subscription.tail.entry;
      this.#send(JSON.stringify({ type: "subscribed", id, table: name, token: subscription.token }));
      subscription.wake();
    } catch (error) {
      this.#subscriptions.delete(id);
      this.#sendError(id, this.#known(error));
    }
  }

  #sink(id: string): SubscriptionSink {
    const { metrics } = this.#options;
    const head = `{"type":"rows","id":${JSON.stringify(id)},"rows":`;
    const isSlow = (): boolean => this.#isSlow;
    return {
      get isFull() {
        return isSlow();
      },
      rows: (text, rows, token) => {
        metrics.sentLive(rows);
        this.#send(`${head}${text},"token":"${token}"}`);
      },
      progress: (token) => this.#send(JSON.stringify({ type: "progress", id, token })),
      ended: (error, token) => {
        this.#subscriptions.delete(id);
        this.#sendError(id, this.#known(error), token);
        // What waits for such a client holds memory; the close frame says why, should it ever read on.
        if (this.#isSlow) this.#connection?.close(closeTryAgainLater, error.code);
      },
    };
  }

  /** What clients are told; mistakes of ours are reported. */
  #known(error: unknown): MiniodbError {
    if (error instanceof MiniodbError && error.code !== "INTERNAL") return error;
    this.#options.onInternal(error);
    return new MiniodbError("INTERNAL", "Internal error");
  }

  #sendError(id: string | null, error: MiniodbError, token?: string): void {
    const { code, message, details, retryable } = error;
    this.#send(JSON.stringify({ type: "error", id, code, message, retryable, details, token }));
  }

  #send(message: string): void {
    if (this.#connection?.send(message) === "slow") this.#isSlow = true;
  }
}

/** RFC 6455's registry: 1013, try again later. */
const closeTryAgainLater = 1013;
