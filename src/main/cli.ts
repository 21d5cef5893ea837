import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { ConfigError, describeOptions, loadConfig, type Config } from "../shared/config.js";
import { createLogger } from "../shared/log.js";

/** libuv's pool is shared by every thread of the process: DuckDB's calls and file work must not starve each other. */
const threadPoolSpare = 4;

/** `miniodb [flags]`: runs the server until it is told to stop. `--help` and `--version` print and end. */
export async function runCli(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText());
    return;
  }
  if (argv.includes("--version")) {
    process.stdout.write(`miniodb ${packageVersion()}\n`);
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
  // Read by libuv at the first use of its pool, so before anything else runs.
  process.env["UV_THREADPOOL_SIZE"] ??= String(threadPoolSize(config));
  const log = createLogger({ ...config.log, thread: "main" });
  const { runServer } = await import("./lifecycle/run-server.js");
  await runServer(config, log, packageVersion());
}

/** Each running query keeps one thread of the pool busy; file work needs some beside them. */
function threadPoolSize({ query }: Config): number {
  return Math.max(availableParallelism() * 4, query.workers * query.concurrency + threadPoolSpare);
}

function packageVersion(): string {
  const path = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { readonly version: string }).version;
}

function helpText(): string {
  const lines = describeOptions().map(({ flag, help, env, default: value }) => {
    return `  ${flag.padEnd(42)} ${help} [${value}] (${env.join(", ")})`;
  });
  return `miniodb: streaming-ingest analytics database\n\nUsage: miniodb [--config file.yaml] [flags]\n\n${lines.join("\n")}\n`;
}
