/** What the commands about backups print for people, of the replies that programs get. Pure. */

export type Reply = Readonly<Record<string, unknown>>;

/** Of a backup that was made, and of one that was removed. */
export function formatBackup(reply: Reply): string {
  const { message, kind, rows, bytes, copied_objects: objects, copied_bytes: copied } = reply;
  const lines = [textOf(message)];
  if (rows !== undefined) lines.push(`${textOf(kind)}: ${textOf(rows)} rows, ${textOf(bytes)} bytes`);
  if (kind === "full") lines.push(`copied: ${textOf(objects)} objects, ${textOf(copied)} bytes; the rest was there`);
  if (reply["removed_objects"] !== undefined) {
    lines.push(`with it: ${textOf(reply["removed_objects"])} objects, ${textOf(reply["removed_bytes"])} bytes`);
  }
  return text(lines);
}

/** A line for each, newest first. */
export function formatBackups(reply: Reply): string {
  const backups = (reply["backups"] ?? []) as readonly Reply[];
  if (backups.length === 0) return "There are no backups.\n";
  return text(
    backups.map((backup) => {
      const { backup_id: id, kind, encrypted, tables, rows, bytes, error } = backup;
      const sort = `${textOf(kind)}${encrypted === true ? ", encrypted" : ""}`;
      if (tables === undefined) return `${textOf(id)}  ${sort}  ${textOf(error ?? "")}`;
      return `${textOf(id)}  ${sort}  ${(tables as readonly string[]).length} tables, ${textOf(rows)} rows, ${textOf(bytes)} bytes`;
    }),
  );
}

export function formatCheck(reply: Reply): string {
  const { success, backup_id: id, objects, bytes, problems } = reply;
  const seen = `${textOf(objects)} objects, ${textOf(bytes)} bytes`;
  if (success === true) return `Backup ${textOf(id)} is whole: ${seen}\n`;
  return text([`Backup ${textOf(id)} is not whole (${seen}):`, ...(problems as readonly string[])]);
}

export function formatRestore(reply: Reply): string {
  const tables = reply["tables"] as readonly Reply[];
  const lines = tables.map(({ table, restored_as: name, outcome, reason, rows, backup_id: id }) => {
    const as = table === name ? textOf(table) : `${textOf(table)} as ${textOf(name)}`;
    const from = id === "" ? "its own history" : `backup ${textOf(id)}`;
    const why = reason === undefined ? "" : `: ${textOf(reason)}`;
    return `${as}: ${textOf(outcome)}${why} (${textOf(rows)} rows, of ${from})`;
  });
  const missing = (reply["errors"] as readonly string[]).filter((error) => error.endsWith("no such table to restore"));
  return text([...lines, ...missing, textOf(reply["message"])]);
}

/** Of a value in JSON. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? "");
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
