import { Cron } from "croner";
import { ConfigError } from "../../shared/config-error.js";
import type { BackupKind } from "../../shared/store/store-paths.js";

interface Line {
  readonly kind: BackupKind;
  readonly cron: Cron;
  /** Null: never again. */
  nextMs: number | null;
}

/** When backups are due, by cron expressions in UTC. What was due while the server was down is not made up for. */
export class BackupSchedule {
  readonly #lines: Line[];

  /** An empty expression is no schedule. Throws ConfigError for one that is not understood, or is never due. */
  constructor(expressions: Readonly<Record<BackupKind, string>>, nowMs: number) {
    const { full, pointers } = expressions;
    const options = [
      ["full", "backup.fullSchedule", full],
      ["pointers", "backup.schedule", pointers],
    ] as const;
    this.#lines = options
      .filter(([, , expression]) => expression !== "")
      .map(([kind, option, expression]) => {
        const cron = parse(option, expression);
        return { kind, cron, nextMs: nextOf(cron, nowMs) };
      });
  }

  /** What is due now, the full one first; each time counts once. */
  due(nowMs: number): BackupKind[] {
    const due = this.#lines.filter(({ nextMs }) => nextMs !== null && nextMs <= nowMs);
    for (const line of due) line.nextMs = nextOf(line.cron, nowMs);
    return due.map(({ kind }) => kind);
  }

  /** Null without a schedule. */
  get nextMs(): number | null {
    const times = this.#lines.flatMap(({ nextMs }) => nextMs ?? []);
    return times.length === 0 ? null : times.reduce((left, right) => Math.min(left, right));
  }
}

function parse(option: string, expression: string): Cron {
  try {
    const cron = new Cron(expression, { timezone: "UTC", paused: true });
    if (cron.nextRun() !== null) return cron;
  } catch (error) {
    throw new ConfigError([`${option} ${JSON.stringify(expression)}: ${error instanceof Error ? error.message : ""}`]);
  }
  throw new ConfigError([`${option} ${JSON.stringify(expression)} is never due`]);
}

function nextOf(cron: Cron, nowMs: number): number | null {
  return cron.nextRun(new Date(nowMs))?.getTime() ?? null;
}
