/**
 * The real server as a child process, on a free port and a temporary data folder: what tests that kill, restart or
 * measure it use. The server is found ready by its log line `listening` that carries the address.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sized } from "./test-size.js";

export interface ServerOptions {
  /** Data folder; without it a temporary one that `dispose` removes. */
  readonly folder?: string;
  /** Flags such as `--flush-rows`, `100`; kept for every restart. */
  readonly flags?: readonly string[];
  /** Added to an environment that is cleaned of MINIODB_ names. */
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of Node itself, such as `--cpu-prof`; without them, source maps for readable stacks where there is time for them. */
  readonly nodeFlags?: readonly string[];
  /** Compiled main file; without it the one of this build. */
  readonly mainFile?: string;
  readonly readyTimeoutMs?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Maps are read by every thread of a server: a tenth of the processor time of its start. */
const nodeFlagsDefault = sized<readonly string[]>([], ["--enable-source-maps"]);
const readyTimeoutMsDefault = 60_000;
/** How much of the server's output is kept for the message of a failed start. */
const outputCharactersMax = 64 * 1024;
const builtMainFile = fileURLToPath(new URL("../../src/main/main.cjs", import.meta.url));
const listeningPattern = /listening.*?(https?:\/\/(?:[\d.]+|\[[\da-f:]+\]):\d+)|(https?:\/\/[\d.]+:\d+).*?listening/;

/** Everything that a still running server would be a leak of; killed when this process ends. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class ServerProcess {
  readonly folder: string;
  readonly #options: ServerOptions;
  #child: ChildProcess | null = null;
  #exit: Promise<Exit> = Promise.resolve({ code: 0, signal: null });
  #url = "";
  #output = "";
  #readyMs = 0;

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), "miniodb-server-"));
  }

  /** Resolves when the server listens; rejects with its output when it ends or says nothing in time. */
  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const server = new ServerProcess(options);
    await server.#launch([]);
    return server;
  }

  /** Such as `http://127.0.0.1:40123`, without a slash at its end; another one after a restart. */
  get url(): string {
    return this.#url;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error("the server does not run");
    return pid;
  }

  /** The last part of what the server wrote, of all its lives. */
  get output(): string {
    return this.#output;
  }

  /** From spawn to `listening`, of the last start. */
  get readyMs(): number {
    return this.#readyMs;
  }

  /** How the present life ends, whoever ends it. */
  get exit(): Promise<Exit> {
    return this.#exit;
  }

  /** SIGTERM, and waits for the drain. */
  async stop(): Promise<Exit> {
    this.#child?.kill("SIGTERM");
    return this.#exit;
  }

  /** SIGKILL: no drain, no flush; what the operating system was given stays. */
  async kill(): Promise<Exit> {
    this.#child?.kill("SIGKILL");
    return this.#exit;
  }

  /** Starts again on the same folder after `stop` or `kill`; `flags` are added for this life only. */
  async restart(flags: readonly string[] = []): Promise<void> {
    await this.#exit;
    await this.#launch(flags);
  }

  /** Kills what runs and removes a temporary folder. */
  async dispose(): Promise<void> {
    await this.kill();
    if (this.#options.folder === undefined) rmSync(this.folder, { recursive: true, force: true });
  }

  async #launch(flags: readonly string[]): Promise<void> {
    const {
      nodeFlags = nodeFlagsDefault,
      mainFile = builtMainFile,
      readyTimeoutMs = readyTimeoutMsDefault,
    } = this.#options;
    const own = ["--data-folder", this.folder, "--http-port", "0"];
    const startMs = performance.now();
    const child = spawn(process.execPath, [...nodeFlags, mainFile, ...own, ...(this.#options.flags ?? []), ...flags], {
      // The number is that of `npm start`.
      env: { ...cleanEnvironment(), MALLOC_ARENA_MAX: "256", ...this.#options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    running.add(child);
    this.#exit = new Promise((resolve) => {
      child.once("error", () => resolve({ code: null, signal: null }));
      child.once("close", (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
    });
    this.#url = await this.#waitUntilListening(child, readyTimeoutMs);
    this.#readyMs = performance.now() - startMs;
  }

  #waitUntilListening(child: ChildProcess, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      let seen = "";
      let isReady = false;
      const fail = (reason: string) => {
        if (isReady) return;
        child.kill("SIGKILL");
        reject(new Error(`the server ${reason}; its output:\n${seen}`));
      };
      const timer = setTimeout(() => fail(`did not listen within ${timeoutMs} ms`), timeoutMs);
      const read = (chunk: Buffer) => {
        const text = chunk.toString("utf8");
        this.#output = (this.#output + text).slice(-outputCharactersMax);
        if (isReady) return;
        seen = (seen + text).slice(-outputCharactersMax);
        const match = listeningPattern.exec(seen);
        const url = match?.[1] ?? match?.[2];
        // The address may be cut by the end of a chunk: it is whole once its line is.
        if (url === undefined || !seen.slice(match?.index).includes("\n")) return;
        isReady = true;
        clearTimeout(timer);
        resolve(url);
      };
      child.stdout?.on("data", read);
      child.stderr?.on("data", read);
      void this.#exit.then(({ code, signal }) => {
        clearTimeout(timer);
        fail(`ended with ${signal ?? `code ${code}`} before it listened`);
      });
    });
  }
}

/** A test must not depend on how the person who runs it has configured a server. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const isOption = /^(?:MINIODB_|MINIO_|REST_PORT$|GRPC_PORT$|NODE_OPTIONS$)/;
  const kept = Object.entries(process.env).filter(([name]) => !isOption.test(name) || name.startsWith("MINIODB_TEST_"));
  return Object.fromEntries(kept);
}
