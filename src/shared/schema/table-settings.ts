/**
 * What an operator may set per table; stored as table properties (`miniodb.<key>`, JSON values).
 * Unset keys take the server's defaults at the time of use.
 */
export interface TableSettings {
  /** What a row does to the earlier ones of its id: nothing (append, the default), or it takes their place (upsert). */
  readonly mode?: TableMode;
  /** Bytes of buffered columns that start a flush. */
  readonly flushBytes?: number;
  readonly flushRows?: number;
  readonly flushIntervalMs?: number;
  /** Column names, ascending; default ["timestamp"]. */
  readonly sortOrder?: readonly string[];
  readonly idStrategy?: IdStrategy;
  readonly idPrefix?: string;
  readonly autoGenerateId?: boolean;
  readonly idValidation?: IdValidation;
  readonly retentionDays?: number;
  /** What a long column does when it meets a fraction: become double (default), or reject the row. */
  readonly longMeetsDouble?: "widen" | "reject";
  /** Unknown keys add columns (default) or reject their row. */
  readonly addColumns?: boolean;
  /** Values of unknown keys are left out of their rows, which are taken; no column is added then. */
  readonly ignoreUnknown?: boolean;
  readonly backupEnabled?: boolean;
  /** Data files that are written from then on say in a Bloom filter which ids they may have. */
  readonly bloomFilter?: boolean;
  /** Free key-value pairs of the client, kept as they are. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** What a client changes: keys that it does not name stay, null goes back to the server's default. */
export type SettingsPatch = {
  readonly [Key in keyof TableSettings]?: Exclude<TableSettings[Key], undefined> | null;
};

/** The settings after the patch. */
export function withPatch(settings: TableSettings, patch: SettingsPatch): TableSettings {
  const merged = Object.entries({ ...settings, ...patch }).filter(([, value]) => value !== null);
  return Object.fromEntries(merged) as TableSettings;
}

export const tableModes = ["append", "upsert"] as const;
export type TableMode = (typeof tableModes)[number];

export const idStrategies = ["user_provided", "uuid", "snowflake", "custom"] as const;
export type IdStrategy = (typeof idStrategies)[number];

export interface IdValidation {
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly allowedChars?: string;
}
