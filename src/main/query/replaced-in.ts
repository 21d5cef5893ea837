import { mayHoldTexts } from "../../shared/iceberg/text-order.js";
import type { DataFile, ReplacedIds } from "../../shared/messages.js";
import type { ReplacedIn } from "../../shared/query-messages.js";
import { idFieldId } from "../../shared/schema/table-schema.js";
import type { HotFile } from "./snapshot-provider.js";

interface ActingFile {
  readonly ids: ReplacedIds;
  /** Number of its hot file: it acts on those before. */
  readonly index: number;
}

/**
 * In which files rows are gone by id, as long as no flush has resolved that to positions. A hot file acts on all that came
 * before it, so that files of the store have the most to leave out, and the last hot file has nothing:
 *
 * ```
 * store ─────────── hot 1 (ids A) ──── hot 2 ──── hot 3 (ids B)
 * without A and B   without B          without B  as it is
 * ```
 * Files of the store whose smallest and largest id say that they hold none of the ids are left as they are. `paths` are those
 * of the files. Pure.
 */
export function replacedIn(
  files: readonly DataFile[],
  paths: readonly string[],
  hot: readonly HotFile[],
): ReplacedIn[] {
  const acting: ActingFile[] = hot.flatMap(({ replaced = null }, index) =>
    replaced === null ? [] : [{ ids: replaced, index }],
  );
  if (acting.length === 0) return [];
  const groups = new Map<string, { readonly files: string[]; readonly idFiles: readonly string[] }>();
  const add = (path: string, idFiles: readonly string[]): void => {
    if (idFiles.length === 0) return;
    const key = idFiles.join("\0");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { files: [path], idFiles });
    else group.files.push(path);
  };
  for (const [index, file] of files.entries()) {
    const bounds = file.bounds[idFieldId];
    const reaching = acting.filter(({ ids }) => mayHoldTexts(bounds, ids.lower, ids.upper));
    const idFiles = reaching.map(({ ids }) => ids.path);
    add(paths[index] ?? "", idFiles);
  }
  for (const [index, { path, rows }] of hot.entries()) {
    if (rows === 0) continue;
    const later = acting.filter((each) => each.index > index);
    const idFiles = later.map(({ ids }) => ids.path);
    add(path, idFiles);
  }
  return [...groups.values()];
}
