import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { describeOptions, loadConfig, type Config } from "../shared/config.js";
import { ConfigError } from "../shared/config-error.js";
import { createLogger } from "../shared/log.js";

/** Threads of libuv's pool for file work beside the queries, which keep one each busy. */
const threadPoolSpare = 4;

/** With so many each of our threads has an arena of glibc's malloc to itself: there are 8 per core. */
const coresEnough = 8;

/**
 * `miniodb [flags]`: runs the server until it is told to stop. `--help` and `--version` print and end. A first argument
 * that is the name of a command runs that instead; see commands/.
 */
export async function runCli(argv: readonly string[]): Promise<void> {
  if (argv[0] === "garbage") {
    const { runGarbage } = await import("./commands/garbage.js");
    return runGarbage(argv.slice(1));
  }
  const [command] = argv;
  if (command === "backup" || command === "backups" || command === "restore") {
    const { runBackupCommand } = await import("./commands/backup.js");
    await runCommand(() => runBackupCommand(command, argv.slice(1), (text) => process.stdout.write(text)));
    return;
  }
  if (argv.includes("--help")) {
    process.stdout.write(helpText());
    return;
  }
  if (argv.includes("--version")) {
    process.stdout.write(`miniodb ${packageVersion()}\n`);
    return;
  }
  if (argv[0] === "failover") {
    const { runFailover } = await import("./commands/failover.js");
    await runCommand(() => runFailover(argv.slice(1), (line) => process.stdout.write(`${line}\n`)));
    return;
  }
  let config: Config;
  try {
    config = loadConfig({ argv });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  const log = createLogger({ ...config.log, thread: "main" });
  const threads = config.query.workers * config.query.concurrency + threadPoolSpare;
  if (threads > Number(process.env["UV_THREADPOOL_SIZE"])) {
    log.warn({ threads }, "so many queries at once need a larger UV_THREADPOOL_SIZE in the environment");
  }
  if (mayWaitForMemory()) {
    log.warn(
      "threads may wait for each other's memory: set MALLOC_ARENA_MAX=256 in the environment, as npm start does",
    );
  }
  const { runServer } = await import("./lifecycle/run-server.js");
  await runServer(config, log, packageVersion());
}

/**
 * Threads that share an arena take turns at its lock. DuckDB's, which are many and of low priority, are then stopped by
 * the scheduler while they hold one that the write path needs: all writes stood still for up to half a second on two cores
 * (p99 beside queries and merges 300 ms, and 20 ms with an arena for each). glibc reads the number before any code runs.
 */
function mayWaitForMemory(): boolean {
  if (process.platform !== "linux" || process.env["MALLOC_ARENA_MAX"] !== undefined) return false;
  return availableParallelism() < coresEnough;
}

/** Runs a command that answers its exit code. */
async function runCommand(act: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await act();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

function packageVersion(): string {
  const path = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { readonly version: string }).version;
}

function helpText(): string {
  const lines = describeOptions().map(({ flag, help, env, default: value }) => {
    return `  ${flag.padEnd(42)} ${help} [${value}] (${env.join(", ")})`;
  });
  return `miniodb: streaming-ingest analytics database\n\nUsage: miniodb [--config file.yaml] [flags]\n       miniodb garbage [--help]\n       miniodb failover [--yes] [flags]\n       miniodb backup | backups | restore [--help]\n\n${lines.join("\n")}\n`;
}
