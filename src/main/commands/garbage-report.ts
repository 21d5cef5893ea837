/** What `miniodb garbage` prints, for people and for programs. Pure. */
import type { TableGarbage } from "../../shared/iceberg/collect-garbage.js";
import type { ObjectEntry } from "../../shared/store/object-store.js";
import { parseDataFileKey, parseLocation, parseVersionKey } from "../../shared/store/store-paths.js";

/** Objects of one sort in one table's folder. */
interface ObjectsInfo {
  readonly objects: number;
  readonly bytes: number;
  /** Since the oldest and the newest of them were written; null where there are none. */
  readonly oldestAgeMs: number | null;
  readonly newestAgeMs: number | null;
  /** Of the objects, by what they are: data files, versions of the metadata, everything else of `metadata/`. */
  readonly dataFiles: number;
  readonly versions: number;
  readonly others: number;
  /** Only where they were asked for. */
  readonly keys?: readonly string[];
}

export interface TableInfo {
  /** In lower case, as in the name of the folder. */
  readonly table: string;
  readonly folder: string;
  readonly state: TableGarbage["state"];
  /** All that lies in the folder, what is in use included. */
  readonly objects: number;
  readonly bytes: number;
  readonly garbage: ObjectsInfo;
  /** Named by nobody either, and protected by the grace time for now. */
  readonly insideGrace: ObjectsInfo;
}

export interface GarbageInfo {
  readonly warehouse: string;
  readonly graceMs: number;
  /** False for a report: then nothing was changed. */
  readonly isDeleted: boolean;
  readonly tables: readonly TableInfo[];
  readonly total: { readonly garbage: Sum; readonly insideGrace: Sum };
  /** Tables that could not be read or cleaned; nothing is guessed about them. */
  readonly failed: readonly { readonly folder: string; readonly error: string }[];
}

interface Sum {
  readonly objects: number;
  readonly bytes: number;
}

export function tableInfo(garbage: TableGarbage, nowMs: number, withKeys: boolean): TableInfo {
  const { location, state, objects, bytes, removable, waiting } = garbage;
  return {
    table: parseLocation(location)?.nameKey ?? location,
    folder: location,
    state,
    objects,
    bytes,
    garbage: objectsInfo(removable, nowMs, withKeys),
    insideGrace: objectsInfo(waiting, nowMs, withKeys),
  };
}

function objectsInfo(entries: readonly ObjectEntry[], nowMs: number, withKeys: boolean): ObjectsInfo {
  const ages = entries.map(({ modifiedMs }) => Math.max(0, Math.round(nowMs - modifiedMs)));
  const dataFiles = entries.filter(({ key }) => parseDataFileKey(key) !== undefined).length;
  const versions = entries.filter(({ key }) => parseVersionKey(key) !== undefined).length;
  return {
    objects: entries.length,
    bytes: entries.reduce((sum, entry) => sum + entry.bytes, 0),
    oldestAgeMs: ages.length === 0 ? null : ages.reduce((left, right) => Math.max(left, right)),
    newestAgeMs: ages.length === 0 ? null : ages.reduce((left, right) => Math.min(left, right)),
    dataFiles,
    versions,
    others: entries.length - dataFiles - versions,
    ...(withKeys && { keys: entries.map(({ key }) => key) }),
  };
}

export function sumOf(infos: readonly ObjectsInfo[]): Sum {
  return {
    objects: infos.reduce((sum, info) => sum + info.objects, 0),
    bytes: infos.reduce((sum, info) => sum + info.bytes, 0),
  };
}

/** A line for each table that has garbage, or had it, and the sums. */
export function formatGarbage(info: GarbageInfo): string {
  const gone = info.isDeleted ? "removed" : "garbage";
  const lines = [`${info.warehouse}, grace time ${duration(info.graceMs)}`];
  for (const { table, state, garbage, insideGrace } of info.tables) {
    if (garbage.objects + insideGrace.objects === 0) continue;
    lines.push(`${table} (${state}): ${gone} ${describe(garbage)}; inside the grace time ${describe(insideGrace)}`);
    for (const key of garbage.keys ?? []) lines.push(`  ${gone}  ${key}`);
    for (const key of insideGrace.keys ?? []) lines.push(`  waits    ${key}`);
  }
  for (const { folder, error } of info.failed) lines.push(`${folder}: left alone: ${error}`);
  const { total, tables, failed } = info;
  lines.push(
    `${tables.length + failed.length} folders: ${gone} ${amount(total.garbage)}, inside the grace time ${amount(total.insideGrace)}`,
  );
  if (!info.isDeleted && total.garbage.objects > 0) lines.push("Nothing was removed: --delete does that.");
  return `${lines.join("\n")}\n`;
}

function describe(objects: ObjectsInfo): string {
  if (objects.oldestAgeMs === null || objects.newestAgeMs === null) return "nothing";
  const { dataFiles, versions, others } = objects;
  const sorts = [`${dataFiles} data files`, `${versions} versions`, `${others} others`].filter(
    (each) => !each.startsWith("0 "),
  );
  const age = `${duration(objects.newestAgeMs)} to ${duration(objects.oldestAgeMs)} old`;
  return `${amount(objects)} (${sorts.join(", ")}; ${age})`;
}

function amount({ objects, bytes }: Sum): string {
  return `${objects} objects, ${size(bytes)}`;
}

const sizeUnits = ["B", "KiB", "MiB", "GiB", "TiB"];

function size(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(sizeUnits.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${sizeUnits[power] ?? ""}`;
}

const timeUnits = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
] as const;

function duration(ms: number): string {
  const [unit, unitMs] = timeUnits.find(([, each]) => ms >= each) ?? ["ms", 1];
  return `${Math.round((ms / unitMs) * 10) / 10} ${unit}`;
}
