import type { Config } from "../../shared/config.js";
import type { Logger } from "../../shared/log.js";
import { startServer } from "./start-server.js";

/** Starts, serves until SIGTERM or SIGINT, stops in order. Exit codes: 0 stopped, 1 could not start or had to give up. */
export async function runServer(config: Config, log: Logger, version: string): Promise<void> {
  let isStopping = false;
  const giveUp = (error: unknown): void => {
    // Whatever is acknowledged is on disk; the next start replays it.
    log.fatal({ err: error }, "the server cannot go on");
    process.exit(1);
  };
  process.on("uncaughtException", giveUp);
  process.on("unhandledRejection", giveUp);
  const server = await startServer({ config, log, version, onFatal: giveUp }).catch((error: unknown) => {
    log.fatal({ err: error }, "the server could not start");
    process.exit(1);
  });
  const stop = (signal: string): void => {
    if (isStopping) {
      log.warn({ signal }, "second signal: ending at once");
      process.exit(1);
    }
    isStopping = true;
    log.info({ signal }, "shutting down");
    server.stop().then(
      () => {
        log.info("stopped");
        process.exit(0);
      },
      (error: unknown) => giveUp(error),
    );
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
}
