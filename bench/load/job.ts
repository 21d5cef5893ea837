/** What the bench asks of a load process, and what it gets back. Both travel as JSON over the process channel. */

/** What the bodies hold; each kind is drawn in payloads.ts. */
export type PayloadKind = "row-json" | "row-replace" | "ndjson" | "json-array" | "msgpack-columns" | "arrow" | "query";

export interface LoadJob {
  /** Origin, such as `http://127.0.0.1:8081`. */
  readonly url: string;
  readonly transport: "http" | "websocket";
  readonly payload: PayloadKind;
  readonly table: string;
  /** 1 for `row-json` and `row-replace`. */
  readonly rowsPerRequest: number;
  readonly connections: number;
  /** Requests that one connection keeps under way: 1 for HTTP, any number for WebSocket. */
  readonly inFlightPerConnection: number;
  /** Sent, counted, but not measured. */
  readonly warmupMs: number;
  readonly durationMs: number;
  /** Null: closed loop, each connection sends when its reply came. Else open loop: requests start at fixed times. */
  readonly requestsPerSecond: number | null;
  readonly seed: number;
  /** Of `query`: the texts, sent one after the other, round and round. */
  readonly statements?: readonly string[];
}

export interface Latency {
  /** All in microseconds, from the intended start to the reply's last byte. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface LoadResult {
  /** Replies that accepted their rows, in the measured window. */
  readonly requests: number;
  readonly elapsedMs: number;
  /** Over the whole run, warm-up and drain included: what SQL must count. */
  readonly acknowledgedRows: number;
  /** Body bytes of the measured requests. */
  readonly bodyBytes: number;
  readonly latency: Latency;
  /** Longest time in the window in which no reply came, in ms: a stall of everything shows here. */
  readonly longestSilenceMs: number;
  /** 429 and 503: sent again after a pause; their latency runs on from the first try. */
  readonly busyReplies: number;
  /** Other replies and broken connections, with the first one's text. Any makes the measure invalid. */
  readonly failures: number;
  readonly firstFailure: string | null;
  /** Processor time of the generator in the window, as a share of one core: near 1 it is itself the limit. */
  readonly generatorCores: number;
}

export type FromLoad =
  | { readonly kind: "ready" }
  | { readonly kind: "window-begins" }
  | { readonly kind: "window-ends" }
  | { readonly kind: "result"; readonly result: LoadResult }
  | { readonly kind: "failed"; readonly message: string };

export type ToLoad = { readonly kind: "prepare"; readonly job: LoadJob } | { readonly kind: "go" };
