/** What the commands about backups print for people, of the replies that programs get. Pure. */

export type Reply = Readonly<Record<string, unknown>>;

/** Of a backup that was made, and of one that was removed. */
export function formatBackup(reply: Reply): string {
  const { message, kind, rows, bytes, copied_objects: objects, copied_bytes: copied } = reply;
  const lines = [String(message)];
  if (rows !== undefined) lines.push(`${String(kind)}: ${String(rows)} rows, ${String(bytes)} bytes`);
  if (kind === "full") lines.push(`copied: ${String(objects)} objects, ${String(copied)} bytes; the rest was there`);
  if (reply["removed_objects"] !== undefined) {
    lines.push(`with it: ${String(reply["removed_objects"])} objects, ${String(reply["removed_bytes"])} bytes`);
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
      const sort = `${String(kind)}${encrypted === true ? ", encrypted" : ""}`;
      if (tables === undefined) return `${String(id)}  ${sort}  ${String(error ?? "")}`;
      return `${String(id)}  ${sort}  ${(tables as readonly string[]).length} tables, ${String(rows)} rows, ${String(bytes)} bytes`;
    }),
  );
}

export function formatCheck(reply: Reply): string {
  const { success, backup_id: id, objects, bytes, problems } = reply;
  const seen = `${String(objects)} objects, ${String(bytes)} bytes`;
  if (success === true) return `Backup ${String(id)} is whole: ${seen}\n`;
  return text([`Backup ${String(id)} is not whole (${seen}):`, ...(problems as readonly string[])]);
}

export function formatRestore(reply: Reply): string {
  const tables = reply["tables"] as readonly Reply[];
  const lines = tables.map(({ table, restored_as: name, outcome, reason, rows, backup_id: id }) => {
    const as = table === name ? String(table) : `${String(table)} as ${String(name)}`;
    const from = id === "" ? "its own history" : `backup ${String(id)}`;
    const why = reason === undefined ? "" : `: ${String(reason)}`;
    return `${as}: ${String(outcome)}${why} (${String(rows)} rows, of ${from})`;
  });
  const missing = (reply["errors"] as readonly string[]).filter((error) => error.endsWith("no such table to restore"));
  return text([...lines, ...missing, String(reply["message"])]);
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
