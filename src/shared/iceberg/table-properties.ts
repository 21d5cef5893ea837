/**
 * What MiniODB keeps in table properties. They survive snapshot expiry and rollback, and travel with the table.
 *
 * | property                   | value                                                              |
 * |----------------------------|--------------------------------------------------------------------|
 * | `miniodb.name`             | the table's name as first written                                  |
 * | `miniodb.created-ms`       | ms since 1970                                                      |
 * | `miniodb.wal.<stream>`     | last committed sequence of that WAL stream, decimal                |
 * | `miniodb.commit-id`        | uuid of the commit that made this version                          |
 * | `miniodb.parent-commit-id` | uuid of the commit that made the version before                    |
 * | `miniodb.state`            | absent: live; `creating`: its name is not won yet; `dropped`       |
 * | `miniodb.restored-from`    | id of the backup that the table was made of                        |
 * | `miniodb.encrypted-columns` | which columns are encrypted: column-encryption.ts                 |
 * | `miniodb.<setting>`        | a TableSettings value as JSON text                                 |
 */
import type { TableSettings } from "../schema/table-settings.js";

export type Properties = Readonly<Record<string, string>>;

export const nameProperty = "miniodb.name";
export const createdProperty = "miniodb.created-ms";
export const commitIdProperty = "miniodb.commit-id";
export const parentCommitIdProperty = "miniodb.parent-commit-id";
export const stateProperty = "miniodb.state";
export const restoredFromProperty = "miniodb.restored-from";
const positionPrefix = "miniodb.wal.";
const settingPrefix = "miniodb.";

const settingKeys: Record<keyof TableSettings, true> = {
  mode: true,
  flushBytes: true,
  flushRows: true,
  flushIntervalMs: true,
  sortOrder: true,
  idStrategy: true,
  idPrefix: true,
  autoGenerateId: true,
  idValidation: true,
  retentionDays: true,
  longMeetsDouble: true,
  addColumns: true,
  ignoreUnknown: true,
  deadLetters: true,
  backupEnabled: true,
  bloomFilter: true,
  properties: true,
};

export type TableLifeState = "creating" | "live" | "dropped";

/** A state that a newer version wrote is none of ours to read as live. */
export function lifeState(properties: Properties): TableLifeState {
  const state = properties[stateProperty];
  if (state === undefined) return "live";
  return state === "creating" ? "creating" : "dropped";
}

export function settingsOf(properties: Properties): TableSettings {
  const settings: Record<string, unknown> = {};
  for (const key of Object.keys(settingKeys)) {
    const value = parseSetting(properties[settingPrefix + key]);
    if (value !== undefined) settings[key] = value;
  }
  return settings;
}

/** The properties with exactly these settings; all else stays. */
export function withSettings(properties: Properties, settings: TableSettings): Properties {
  const result: Record<string, string> = { ...properties };
  for (const key of Object.keys(settingKeys) as (keyof TableSettings)[]) {
    const value = settings[key];
    if (value === undefined) delete result[settingPrefix + key];
    else result[settingPrefix + key] = JSON.stringify(value);
  }
  return result;
}

/** Last committed sequence by WAL stream. */
export function positionsOf(properties: Properties): Record<string, number> {
  const positions: Record<string, number> = {};
  for (const [key, text] of Object.entries(properties)) {
    if (key.startsWith(positionPrefix)) positions[key.slice(positionPrefix.length)] = Number(text);
  }
  return positions;
}

/** 0 for a stream that has committed nothing yet. */
export function positionOf(properties: Properties, stream: string): number {
  return Number(properties[positionPrefix + stream] ?? 0);
}

export function withPosition(properties: Properties, stream: string, sequence: number): Properties {
  return { ...properties, [positionPrefix + stream]: String(sequence) };
}

/** For a table that is another one: its rows get sequences of their own. */
export function withoutPositions(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([key]) => !key.startsWith(positionPrefix)));
}

/** Someone may have edited a property by hand; a value that is not JSON is taken as unset. */
function parseSetting(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
