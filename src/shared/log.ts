/**
 * Structured logging: one pino logger per thread, level and form from the configuration. Lines go to standard output
 * synchronously: a line that was written is there after a crash too, and the rates here are a few lines a second.
 * Never log per request or per row.
 */
import type { DestinationStream, Logger as PinoLogger } from "pino";
import type { Config } from "./config.js";
import { requirePackage } from "./require-package.js";

const { pino, stdTimeFunctions } = requirePackage("pino");

/** What the code of the server uses of a logger: facts first, then the sentence. */
export type Logger = Pick<PinoLogger, "trace" | "debug" | "info" | "warn" | "error" | "fatal"> & {
  child(facts: Readonly<Record<string, unknown>>): Logger;
};

export interface LogOptions extends Readonly<Config["log"]> {
  /** Name of the thread, such as `main`, `ingest-0`, `wal`. */
  readonly thread: string;
  /** Where lines go; without it, standard output. */
  readonly destination?: DestinationStream;
}

/** JSON lines: time (RFC 3339), level as a word, thread, msg, then the facts. Errors stand under `err` with stack. */
export function createLogger(options: LogOptions): Logger {
  const base = options.destination ?? pino.destination({ dest: 1, sync: true });
  const destination = options.format === "text" ? textDestination(base) : base;
  return pino(
    {
      level: options.level,
      base: { thread: options.thread },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

/** Rewrites each JSON line as `time LEVEL thread sentence key=value ...`. */
function textDestination(base: DestinationStream): DestinationStream {
  return {
    write(line) {
      base.write(`${formatLine(line)}\n`);
    },
  };
}

function formatLine(line: string): string {
  const { time, level, thread, msg, err, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(facts).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const head = [
    String(time),
    String(level).toUpperCase().padEnd(5),
    String(thread),
    typeof msg === "string" ? msg : "",
  ].join(" ");
  const stack = isStack(err) ? `\n${err.stack}` : "";
  return [head, ...rest].join(" ") + stack;
}

function isStack(value: unknown): value is { readonly stack: string } {
  return typeof value === "object" && value !== null && "stack" in value && typeof value.stack === "string";
}
