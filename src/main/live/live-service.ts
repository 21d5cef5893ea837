import { MiniodbError } from "../../shared/errors.js";
import type { TableEntry } from "../catalog/table-entry.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { LiveReader } from "./live-reader.js";
import { LiveSubscription, type SubscriptionSink } from "./live-subscription.js";
import type { LiveTail } from "./live-tail.js";
import type { LiveTails } from "./live-tails.js";

export interface LiveServiceOptions {
  readonly tails: LiveTails;
  readonly reader: LiveReader;
  readonly registry: TableRegistry;
  readonly subscriptionsMax: number;
  readonly retainBytes: number;
  readonly slowMs: number;
}

export interface SubscribeRequest {
  readonly table: string;
  readonly filter: string | null;
  /** A token; null: from now on. */
  readonly from: string | null;
  readonly credits: number | null;
  readonly sink: SubscriptionSink;
}

/** Time between two looks for clients that do not read. */
const watchIntervalMs = 250;

/**
 * Live queries, from request to end. It holds what is common to all of them: their number, and the watch over those whose
 * clients are slow. What one of them has sent is its subscription's, what rows there are is the tail's.
 *
 * ```
 * subscribe ─▶ schema known ─▶ filter checked ─▶ place on a tail ─▶ subscription ─▶ deltas as the tail grows ─▶ end
 * ```
 */
export class LiveService {
  readonly #options: LiveServiceOptions;
  readonly #subscriptions = new Set<LiveSubscription>();
  readonly #timer: NodeJS.Timeout;
  /** Requests that are being looked at count too. */
  #opening = 0;

  constructor(options: LiveServiceOptions) {
    this.#options = options;
    options.tails.whenEnded((tail, error) => this.#onEnded(tail, error));
    this.#timer = setInterval(() => this.#watch(performance.now()), watchIntervalMs);
  }

  get count(): number {
    return this.#subscriptions.size;
  }

  /** Of the subscription that lags most: acknowledged rows that it has not looked at. */
  get lagRows(): number {
    let lag = 0;
    for (const subscription of this.#subscriptions) lag = Math.max(lag, subscription.lagRows);
    return lag;
  }

  /**
   * The subscription sends nothing before its first `wake`. Rejects with TABLE_NOT_FOUND, INVALID_SQL, SQL_NOT_ALLOWED
   * (the filter), INVALID_REQUEST (the token), SEQUENCE_EXPIRED, SERVER_BUSY.
   */
  async subscribe(request: SubscribeRequest): Promise<LiveSubscription> {
    const { subscriptionsMax, registry } = this.#options;
    if (this.#subscriptions.size + this.#opening >= subscriptionsMax) {
      throw new MiniodbError("SERVER_BUSY", `There are live.subscriptionsMax = ${subscriptionsMax} live queries`);
    }
    this.#opening++;
    try {
      return await this.#open(registry.get(request.table), request);
    } finally {
      this.#opening--;
    }
  }

  /** When every connection is closed: waits for what the query workers still do for it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const subscription of this.#subscriptions) subscription.close();
    await this.#options.reader.idle();
  }

  /** The filter is checked before a tail is opened: a tail costs its table work from then on. */
  async #open(entry: TableEntry, request: SubscribeRequest): Promise<LiveSubscription> {
    const { tails, reader } = this.#options;
    const { filter, from, credits, sink } = request;
    await tails.learnSchema(entry);
    if (filter !== null) await reader.checkFilter(entry.name, entry.schema, filter);
    const { tail, position } = await tails.place(entry, from);
    // No pause from here on: a tail that ends tells those who are on it.
    if (tail.isClosed) throw new MiniodbError("SERVER_BUSY", "The live query could not begin; try again");
    const onOver = (over: LiveSubscription): void => {
      this.#subscriptions.delete(over);
    };
    const subscription = new LiveSubscription({ tail, reader, filter, position, credits, sink, onOver });
    this.#subscriptions.add(subscription);
    // Rows may have come since the place was found; nobody else tells of them.
    tail.wake();
    return subscription;
  }

  /** As when a table is dropped: a tail does not know who reads it. */
  #onEnded(tail: LiveTail, error: MiniodbError): void {
    for (const subscription of this.#subscriptions) if (subscription.tail === tail) subscription.end(error);
  }

  /**
   * A client that takes nothing costs room on disk, not memory: the tail keeps rows until `retainBytes`, and then all
   * subscriptions of the node lose their oldest. So the slow one goes before it takes them from the others.
   */
  #watch(nowMs: number): void {
    const { slowMs, retainBytes } = this.#options;
    for (const subscription of this.#subscriptions) {
      const { tail, position } = subscription;
      subscription.tell(nowMs);
      const blockedMs = subscription.blockedMs(nowMs);
      if (blockedMs > slowMs) {
        subscription.end(tooSlow(`has taken nothing for ${slowMs} ms`));
      } else if (blockedMs > 0 && tail.bytes > retainBytes / 2 && tail.bytesAfter(position) > retainBytes / 2) {
        // Half is left for it to resume: that is time to become faster, not to lose rows.
        subscription.end(tooSlow("lags behind by half of live.retainBytes or more"));
      }
    }
  }
}

function tooSlow(how: string): MiniodbError {
  return new MiniodbError(
    "TOO_MANY_REQUESTS",
    `The client reads too slowly: it ${how}. Subscribe again from the token`,
  );
}
