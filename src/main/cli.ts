import { readFileSync } from "node:fs";
import { ConfigError, describeOptions, loadConfig, type Config } from "../shared/config.js";
import { createLogger } from "../shared/log.js";

/** Threads of libuv's pool for file work beside the queries, which keep one each busy. */
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
  const { runServer } = await import("./lifecycle/run-server.js");
  await runServer(config, log, packageVersion());
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
  return `miniodb: streaming-ingest analytics database\n\nUsage: miniodb [--config file.yaml] [flags]\n       miniodb failover [--yes] [flags]\n\n${lines.join("\n")}\n`;
}
