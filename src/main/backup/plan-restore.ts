/** Which tables a restore makes, under which names. Pure: restore-service.ts acts. */
import type { RestoreCandidate } from "../../shared/backup-messages.js";
import { MiniodbError } from "../../shared/errors.js";
import { nameKey, tableNamePattern } from "../../shared/schema/table-schema.js";

export interface RestoreChoice {
  /** Each a name, or a pattern with `*` and `?`, in any case of letters; empty: all tables. */
  readonly tables: readonly string[];
  /** Of tables by their name in the backup. */
  readonly rename: Readonly<Record<string, string>>;
  readonly isOverwriting: boolean;
}

export type RestoreAction = "restore" | "overwrite" | "skip";

export interface PlannedTable {
  readonly candidate: RestoreCandidate;
  readonly name: string;
  readonly action: RestoreAction;
}

export interface RestoreTablesPlan {
  readonly tables: readonly PlannedTable[];
  /** Of the choice: what nothing has the name of. */
  readonly missing: readonly string[];
}

/** Throws INVALID_REQUEST where a new name is none, is that of two tables, or is of a table that is not restored. */
export function planTables(
  candidates: readonly RestoreCandidate[],
  choice: RestoreChoice,
  parts: {
    readonly matcher: (pattern: string) => (name: string) => boolean;
    readonly exists: (name: string) => boolean;
  },
): RestoreTablesPlan {
  const patterns = choice.tables.map((pattern) => ({ pattern, matches: parts.matcher(pattern) }));
  const chosen = candidates.filter(
    ({ name }) => patterns.length === 0 || patterns.some(({ matches }) => matches(name)),
  );
  const missing = patterns.filter(({ matches }) => !candidates.some(({ name }) => matches(name)));
  const names = new Map(Object.entries(choice.rename).map(([from, to]) => [nameKey(from), to]));
  const taken = new Set<string>();
  const tables = chosen.map((candidate): PlannedTable => {
    const renamed = names.get(nameKey(candidate.name));
    names.delete(nameKey(candidate.name));
    const name = renamed ?? candidate.name;
    if (!tableNamePattern.test(name)) throw refused(`${name.slice(0, 100)} is no name of a table`);
    if (taken.has(nameKey(name))) throw refused(`two tables would be called ${name}`);
    taken.add(nameKey(name));
    if (!parts.exists(name)) return { candidate, name, action: "restore" };
    return { candidate, name, action: choice.isOverwriting ? "overwrite" : "skip" };
  });
  const [stranger] = names.keys();
  if (stranger !== undefined) throw refused(`table ${stranger} is not one of those to be restored`);
  return { tables, missing: missing.map(({ pattern }) => pattern) };
}

function refused(why: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `rename: ${why}`, { field: "rename" });
}
