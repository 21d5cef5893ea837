/**
 * When which request is sent, and what its time was. A channel carries one request at a time: an HTTP connection, or
 * one of the slots of a WebSocket.
 *
 * Closed loop: a channel sends its next request when it has its reply. Open loop: request k is meant to start at
 * k / rate, whether or not a channel is free; its latency runs from that time, so that a server that stalls is charged for
 * everyone who would have come meanwhile (no coordinated omission).
 */
import { build, type Histogram } from "hdr-histogram-js";
import type { Latency, LoadJob, LoadResult } from "./job.js";

export type Outcome = "accepted" | "busy" | "failed";

export interface Channel {
  /** Sends the payload of this number; `done` is called once. */
  send(payload: number, done: (outcome: Outcome, detail: string) => void): void;
}

export interface LoadLoopOptions {
  readonly job: LoadJob;
  readonly channels: readonly Channel[];
  /** Body length of each payload. */
  readonly payloadBytes: readonly number[];
  readonly onWindow: (edge: "window-begins" | "window-ends") => void;
}

const busyPauseMs = 20;
const latencyMicrosMax = 600_000_000;
/** How long replies may take after the last request; longer is a failure. */
const drainMsMax = 60_000;

export class LoadLoop {
  readonly #options: LoadLoopOptions;
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: latencyMicrosMax,
    numberOfSignificantValueDigits: 3,
  });
  readonly #idle: number[] = [];
  readonly #intendedMs: Float64Array;
  readonly #windowBeginMs: number;
  readonly #windowEndMs: number;
  readonly #startMs: number;
  #sent = 0;
  #inFlight = 0;
  #acknowledged = 0;
  #requests = 0;
  #bodyBytes = 0;
  #busyReplies = 0;
  #failures = 0;
  #firstFailure: string | null = null;
  #isSending = true;
  #isWindowOver = false;
  #lastReplyMs = 0;
  #longestSilenceMs = 0;
  #generatorCores = 0;
  #finish: () => void = () => {};

  constructor(options: LoadLoopOptions) {
    this.#options = options;
    this.#intendedMs = new Float64Array(options.channels.length);
    this.#startMs = performance.now();
    this.#windowBeginMs = this.#startMs + options.job.warmupMs;
    this.#windowEndMs = this.#windowBeginMs + options.job.durationMs;
  }

  /** Resolves when every request has its reply. */
  async run(): Promise<LoadResult> {
    const { job, channels } = this.#options;
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.#scheduleWindow();
    for (let channel = 0; channel < channels.length; channel++) this.#idle.push(channel);
    // Replies pump too; the timer is for times when none comes.
    const timer = setInterval(() => this.#pump(), 1);
    this.#pump();
    await finished;
    clearInterval(timer);
    return {
      requests: this.#requests,
      elapsedMs: job.durationMs,
      acknowledgedRows: this.#acknowledged * job.rowsPerRequest,
      bodyBytes: this.#bodyBytes,
      latency: latencyOf(this.#histogram),
      longestSilenceMs: this.#longestSilenceMs,
      busyReplies: this.#busyReplies,
      failures: this.#failures,
      firstFailure: this.#firstFailure,
      generatorCores: this.#generatorCores,
    };
  }

  /** A channel that broke gives its reply never: the run is over. */
  fail(reason: string): void {
    this.#countFailure(reason);
    this.#isSending = false;
    this.#finish();
  }

  #scheduleWindow(): void {
    const { job, onWindow } = this.#options;
    setTimeout(() => {
      onWindow("window-begins");
      const before = process.cpuUsage();
      setTimeout(() => {
        const { user, system } = process.cpuUsage(before);
        this.#generatorCores = (user + system) / 1000 / job.durationMs;
        onWindow("window-ends");
        this.#isWindowOver = true;
        // The open loop sends what it still owes; the closed loop owes nothing.
        if (job.requestsPerSecond === null) this.#isSending = false;
        setTimeout(
          () => this.fail(`${this.#inFlight} replies did not come within ${drainMsMax} ms`),
          drainMsMax,
        ).unref();
        this.#pump();
      }, job.durationMs);
    }, job.warmupMs);
  }

  #pump(): void {
    const { requestsPerSecond } = this.#options.job;
    while (this.#isSending && this.#idle.length > 0) {
      let intendedMs = performance.now();
      if (requestsPerSecond !== null) {
        const scheduledMs = this.#startMs + (this.#sent * 1000) / requestsPerSecond;
        if (scheduledMs > this.#windowEndMs) this.#isSending = false;
        if (scheduledMs > intendedMs || !this.#isSending) break;
        intendedMs = scheduledMs;
      }
      // The one that has rested longest: a connection that rests for ten seconds is closed by the server.
      const channel = this.#idle.shift() as number;
      this.#intendedMs[channel] = intendedMs;
      this.#inFlight++;
      this.#send(channel, this.#sent++ % this.#options.payloadBytes.length);
    }
    if (!this.#isSending && this.#isWindowOver && this.#inFlight === 0) this.#finish();
  }

  #send(channel: number, payload: number): void {
    (this.#options.channels[channel] as Channel).send(payload, (outcome, detail) => {
      if (outcome === "busy") {
        this.#busyReplies++;
        setTimeout(() => this.#send(channel, payload), busyPauseMs);
        return;
      }
      if (outcome === "accepted") this.#record(channel, payload);
      else this.#countFailure(detail);
      this.#inFlight--;
      this.#idle.push(channel);
      this.#pump();
    });
  }

  /** Rate counts replies inside the window; latency counts requests that were meant to start inside it. */
  #record(channel: number, payload: number): void {
    this.#acknowledged++;
    const nowMs = performance.now();
    const intendedMs = this.#intendedMs[channel] as number;
    if (nowMs >= this.#windowBeginMs && nowMs < this.#windowEndMs) {
      this.#requests++;
      this.#longestSilenceMs = Math.max(
        this.#longestSilenceMs,
        nowMs - Math.max(this.#lastReplyMs, this.#windowBeginMs),
      );
      this.#bodyBytes += this.#options.payloadBytes[payload] as number;
    }
    this.#lastReplyMs = nowMs;
    if (intendedMs >= this.#windowBeginMs && intendedMs < this.#windowEndMs) {
      this.#histogram.recordValue(Math.min(latencyMicrosMax, Math.max(1, Math.round((nowMs - intendedMs) * 1000))));
    }
  }

  #countFailure(reason: string): void {
    this.#failures++;
    this.#firstFailure ??= reason.slice(0, 500);
    // A server that refuses everything would otherwise be asked as fast as it can refuse.
    if (this.#failures > 100) this.#isSending = false;
  }
}

function latencyOf(histogram: Histogram): Latency {
  const at = (percentile: number) => histogram.getValueAtPercentile(percentile);
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: histogram.maxValue };
}
