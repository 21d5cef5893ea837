import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoadJob } from "../../../bench/load/job.js";
import { type Channel, LoadLoop, type Outcome } from "../../../bench/load/load-loop.js";

const base: LoadJob = {
  url: "",
  transport: "http",
  payload: "row-json",
  table: "t",
  rowsPerRequest: 10,
  connections: 2,
  inFlightPerConnection: 1,
  warmupMs: 20,
  durationMs: 600,
  requestsPerSecond: null,
  seed: 1,
};

/** Answers at once, but for one stall of all channels from 150 ms to 400 ms after the start. */
function stallingChannels(count: number): Channel[] {
  const startMs = performance.now();
  return Array.from({ length: count }, () => ({
    send(_payload: number, done: (outcome: Outcome, detail: string) => void) {
      const sinceMs = performance.now() - startMs;
      setTimeout(() => done("accepted", ""), sinceMs > 150 && sinceMs < 400 ? 400 - sinceMs : 1);
    },
  }));
}

function run(job: LoadJob, channels: readonly Channel[]) {
  const edges: string[] = [];
  const loop = new LoadLoop({ job, channels, payloadBytes: [100, 200], onWindow: (edge) => edges.push(edge) });
  return { edges, result: loop.run() };
}

test("open loop: a stall is charged to every request that was meant to start in it", async () => {
  const { result, edges } = run({ ...base, requestsPerSecond: 500 }, stallingChannels(2));
  const { latency, requests, failures } = await result;
  // 250 ms of 600 ms are stalled: about 40 % of the requests waited, 125 ms in the middle.
  assert.ok(latency.p90 > 100_000, `p90 ${latency.p90} µs`);
  assert.ok(latency.max > 200_000, `max ${latency.max} µs`);
  // On a busy machine the generator itself is late, and leaves the rest of its plan for the end.
  assert.ok(requests > 50, `${requests} requests`);
  assert.equal(failures, 0);
  assert.deepEqual(edges, ["window-begins", "window-ends"]);
});

test("closed loop: only the requests under way feel a stall", async () => {
  const { latency, requests, bodyBytes } = await run(base, stallingChannels(2)).result;
  assert.ok(latency.p50 < 200_000, `p50 ${latency.p50} µs`);
  assert.ok(Math.abs(bodyBytes / requests - 150) < 1, "payloads are taken in turn");
});

test("rows of every acceptance are counted, warm-up and drain included; a busy reply is sent again", async () => {
  let accepted = 0;
  let calls = 0;
  const channel: Channel = {
    send(_payload, done) {
      calls++;
      const isBusy = calls % 3 === 0;
      if (!isBusy) accepted++;
      setTimeout(() => done(isBusy ? "busy" : "accepted", ""), 1);
    },
  };
  const result = await run({ ...base, durationMs: 200 }, [channel]).result;
  assert.equal(result.acknowledgedRows, accepted * base.rowsPerRequest);
  assert.equal(result.busyReplies, calls - accepted);
  assert.ok(result.busyReplies > 0);
});

test("failures are counted and end the run, with the first one's text", async () => {
  const channel: Channel = { send: (_payload, done) => setImmediate(() => done("failed", "500 oops")) };
  const result = await run({ ...base, durationMs: 100 }, [channel]).result;
  assert.ok(result.failures > 0);
  assert.equal(result.firstFailure, "500 oops");
  assert.equal(result.acknowledgedRows, 0);
});
