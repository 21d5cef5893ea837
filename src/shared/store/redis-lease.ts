import type { Redis } from "ioredis";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { requirePackage } from "../require-package.js";
import type { AnnouncedPut, CommitLease, HeldLease } from "./leased-store.js";
import { StoreError } from "./store-failure.js";
import type { RedisOptions } from "./store-exclusion.js";

export interface RedisLeaseOptions {
  /** The same for all servers of one warehouse, whatever way they reach it by. */
  readonly warehouse: string;
  /** A holder that is not heard of for so long has lost it. */
  readonly leaseMs: number;
  /** How long a commit waits for its turn. */
  readonly waitMsMax: number;
}

/** The pause before it is tried again is drawn below it; doubles from the first to the second. */
const pollMs = 4;
const pollMsMax = 40;
/** The counter of a table that nobody commits to any more goes after a month. */
const epochMs = 30 * 24 * 60 * 60 * 1000;

/**
 * Each answers 0 or nothing where the caller is not (or no longer) the holder.
 *
 * ```
 * miniodb:commit:{<warehouse>/<folder>}:lease     <epoch>:<uuid> of the holder; expires
 * miniodb:commit:{<warehouse>/<folder>}:epoch     counts the holders
 * miniodb:commit:{<warehouse>/<folder>}:put       key, body, at (ms since 1970): a put that began and is not known to have ended
 * ```
 */
const scripts = {
  acquire: `
    if redis.call('EXISTS', KEYS[1]) == 1 then return false end
    local token = redis.call('INCR', KEYS[2]) .. ':' .. ARGV[1]
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
    redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
    local time = redis.call('TIME')
    local put = redis.call('HMGET', KEYS[3], 'key', 'body', 'at')
    if not put[1] then return {token} end
    return {token, put[1], put[2], tostring(time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(put[3]))}`,
  renew: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  announce: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[3], 'key', ARGV[2], 'body', ARGV[3], 'at', tostring(time[1] * 1000 + math.floor(time[2] / 1000)))
    return 1`,
  settle: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[3])
    return 1`,
  release: `
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])`,
} as const;

/** The lease of leased-store.ts in Redis. */
export class RedisLease implements CommitLease {
  readonly #redis: Redis;
  readonly #options: RedisLeaseOptions;

  constructor(redis: Redis, options: RedisLeaseOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  /** Throws a StoreError, `slow-down`, where Redis does not answer or others hold the lease all the time. */
  async acquire(folder: string): Promise<HeldLease> {
    const { waitMsMax, leaseMs } = this.#options;
    const deadline = performance.now() + waitMsMax;
    const keys = keysOf(this.#options.warehouse, folder);
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#run("acquire", keys, [randomUUID(), String(leaseMs), String(epochMs)]);
      if (Array.isArray(answer)) return this.#hold(keys, answer as readonly Buffer[]);
      if (performance.now() > deadline) {
        throw new StoreError("slow-down", `the lease for commits to ${folder} was not free for ${waitMsMax} ms`);
      }
      await delay(Math.random() * Math.min(pollMsMax, pollMs * 2 ** attempt));
    }
  }

  #hold(keys: readonly string[], [token, key, body, ageMs]: readonly Buffer[]): HeldLease {
    const { leaseMs } = this.#options;
    const holder = String(token);
    const whole = key !== undefined && body !== undefined && ageMs !== undefined;
    const pending: AnnouncedPut | null = whole ? { key: String(key), body, ageMs: Number(ageMs) } : null;
    const timer = setInterval(() => {
      // Whether it worked shows at the next step.
      this.#run("renew", keys, [holder, String(leaseMs)]).catch(() => {});
    }, leaseMs / 3);
    timer.unref();
    const step = async (name: "announce" | "settle", args: readonly (string | Uint8Array)[]): Promise<void> => {
      if ((await this.#run(name, keys, [holder, ...args])) === 1) return;
      throw new StoreError("slow-down", "the lease for this commit went to another writer meanwhile");
    };
    return {
      pending,
      announce: (put) => step("announce", [put.key, put.body]),
      settle: () => step("settle", []),
      release: async () => {
        clearInterval(timer);
        // It runs out by itself, too.
        await this.#run("release", keys, [holder]).catch(() => {});
      },
    };
  }

  async #run(
    name: keyof typeof scripts,
    keys: readonly string[],
    args: readonly (string | Uint8Array)[],
  ): Promise<unknown> {
    const bytes = args.map((arg) =>
      typeof arg === "string" ? arg : Buffer.from(arg.buffer, arg.byteOffset, arg.length),
    );
    try {
      return await this.#redis.callBuffer("EVAL", scripts[name], keys.length, ...keys, ...bytes);
    } catch (error) {
      throw new StoreError("slow-down", `Redis, which holds the lease for commits: ${reasonOf(error)}`);
    }
  }
}

/** The braces keep the keys of one folder on one node of a cluster. */
function keysOf(warehouse: string, folder: string): string[] {
  return ["lease", "epoch", "put"].map((part) => `miniodb:commit:{${warehouse}/${folder}}:${part}`);
}

/** A connection for one thread, made at its first command. Commands fail after seconds, and it comes back by itself. */
export async function openRedis(options: RedisOptions): Promise<Redis> {
  const { Redis: Client } = requirePackage("ioredis");
  const redis = new Client({
    host: options.host,
    port: options.port,
    db: options.database,
    lazyConnect: true,
    connectTimeout: 5_000,
    commandTimeout: 5_000,
    maxRetriesPerRequest: 1,
    retryStrategy: (times) => Math.min(2_000, 50 * 2 ** times),
    ...(options.username !== "" && { username: options.username }),
    ...(options.password !== "" && { password: options.password }),
    ...(options.isTls && { tls: {} }),
  });
  // Each command says so itself.
  redis.on("error", () => {});
  return redis;
}

function reasonOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : String(error);
}
