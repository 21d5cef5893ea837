import { MiniodbError } from "../../shared/errors.js";
import { limits } from "../../shared/limits.js";
import { compileIdPattern } from "../../shared/schema/id-pattern.js";
import { nameKey } from "../../shared/schema/table-schema.js";
import {
  idStrategies,
  type IdStrategy,
  type IdValidation,
  type SettingsPatch,
  tableModes,
  type TableSettings,
} from "../../shared/schema/table-settings.js";
import { suggestName } from "../../shared/suggest-name.js";

/**
 * Between the original API's table config and our settings. Keys of the original come first; the others are ours.
 *
 * | config key                | setting            |
 * |---------------------------|--------------------|
 * | buffer_size (rows)        | flushRows          |
 * | flush_interval_seconds    | flushIntervalMs    |
 */
const settingOfKey: Readonly<Record<string, keyof TableSettings>> = {
  buffer_size: "flushRows",
  flush_interval_seconds: "flushIntervalMs",
  retention_days: "retentionDays",
  backup_enabled: "backupEnabled",
  properties: "properties",
  id_strategy: "idStrategy",
  id_prefix: "idPrefix",
  auto_generate_id: "autoGenerateId",
  id_validation: "idValidation",
  mode: "mode",
  flush_bytes: "flushBytes",
  sort_order: "sortOrder",
  add_columns: "addColumns",
  ignore_unknown: "ignoreUnknown",
  long_meets_double: "longMeetsDouble",
  bloom_filter: "bloomFilter",
};

/** The settings of a new table. Throws INVALID_REQUEST, naming the field; unknown keys are refused, as misspelt ones. */
export function settingsOfConfig(config: unknown): TableSettings {
  if (config === undefined || config === null) return {};
  const given = Object.entries(readConfig(config)).filter(([, value]) => value !== undefined);
  const settings = Object.fromEntries(given) as TableSettings;
  checkMode(settings);
  return settings;
}

/** An id that is made for a row has no earlier rows: throws INVALID_REQUEST for an upsert table that makes ids. */
export function checkMode({ mode, idStrategy = "user_provided", autoGenerateId = false }: TableSettings): void {
  if (mode !== "upsert" || (idStrategy === "user_provided" && !autoGenerateId)) return;
  const message = "a table of mode upsert takes the ids of its clients: id_strategy and auto_generate_id make others";
  throw new MiniodbError("INVALID_REQUEST", message, { field: "mode" });
}

/**
 * What a config changes about a table: keys that it lacks stay as they are; null, 0 and "" go back to the default, as
 * they mean it in the original. Throws as settingsOfConfig does.
 */
export function patchOfConfig(config: unknown): SettingsPatch {
  const settings = readConfig(config);
  const named = Object.keys(config as object).flatMap((key) => settingOfKey[key] ?? []);
  return Object.fromEntries(named.map((key) => [key, settings[key] ?? null])) as SettingsPatch;
}

type ReadSettings = { readonly [Key in keyof TableSettings]-?: TableSettings[Key] | undefined };

function readConfig(config: unknown): ReadSettings {
  const reader = new ConfigReader(config, "");
  reader.refuseOthers(Object.keys(settingOfKey));
  const seconds = reader.integer("flush_interval_seconds", limits.flushSecondsMax);
  return {
    mode: reader.choice("mode", tableModes),
    flushRows: positive(reader.integer("buffer_size")),
    flushIntervalMs: positive(seconds === undefined ? undefined : seconds * 1000),
    flushBytes: positive(reader.integer("flush_bytes")),
    sortOrder: reader.columns("sort_order"),
    idStrategy: reader.choice<IdStrategy>("id_strategy", idStrategies),
    idPrefix: reader.idPrefix("id_prefix"),
    autoGenerateId: reader.flag("auto_generate_id"),
    idValidation: reader.idValidation("id_validation"),
    retentionDays: positive(reader.integer("retention_days", limits.retentionDaysMax)),
    longMeetsDouble: reader.choice("long_meets_double", ["widen", "reject"] as const),
    addColumns: reader.flag("add_columns"),
    ignoreUnknown: reader.flag("ignore_unknown"),
    backupEnabled: reader.flag("backup_enabled"),
    bloomFilter: reader.flag("bloom_filter"),
    properties: reader.textMap("properties"),
  };
}

/** The config as clients of the original read it, ours included; unset keys are left out. */
export function configOfSettings(settings: TableSettings): Record<string, unknown> {
  const config: Record<string, unknown> = {
    buffer_size: settings.flushRows,
    flush_interval_seconds: settings.flushIntervalMs === undefined ? undefined : settings.flushIntervalMs / 1000,
    retention_days: settings.retentionDays,
    backup_enabled: settings.backupEnabled,
    properties: settings.properties,
    id_strategy: settings.idStrategy ?? "user_provided",
    id_prefix: settings.idPrefix,
    auto_generate_id: settings.autoGenerateId,
    id_validation: settings.idValidation && {
      max_length: settings.idValidation.maxLength,
      pattern: settings.idValidation.pattern,
      allowed_chars: settings.idValidation.allowedChars,
    },
    mode: settings.mode,
    flush_bytes: settings.flushBytes,
    sort_order: settings.sortOrder,
    add_columns: settings.addColumns,
    ignore_unknown: settings.ignoreUnknown,
    long_meets_double: settings.longMeetsDouble,
    bloom_filter: settings.bloomFilter,
  };
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

/** In the original, 0 means "use the default". */
function positive(value: number | undefined): number | undefined {
  return value === undefined || value === 0 ? undefined : value;
}

/** Reads fields of one JSON object; a field of the wrong type is INVALID_REQUEST, an absent or null one undefined. */
class ConfigReader {
  readonly #fields: Readonly<Record<string, unknown>>;
  /** Of the names in messages. */
  readonly #prefix: string;

  constructor(config: unknown, prefix: string) {
    this.#prefix = prefix;
    if (typeof config !== "object" || config === null || Array.isArray(config)) {
      throw wrong(prefix === "" ? "config" : prefix.slice(0, -1), "an object");
    }
    this.#fields = config as Readonly<Record<string, unknown>>;
  }

  refuseOthers(names: readonly string[]): void {
    const stranger = Object.keys(this.#fields).find((name) => !names.includes(name));
    if (stranger === undefined) return;
    const field = `${this.#prefix}${stranger.slice(0, 100)}`;
    const suggestion = suggestName(stranger, names);
    const hint = suggestion === null ? "" : `; did you mean ${suggestion}?`;
    throw new MiniodbError("INVALID_REQUEST", `config has no key ${field}${hint}`, { field });
  }

  integer(name: string, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
      throw this.#wrong(name, max === Number.MAX_SAFE_INTEGER ? "a whole number" : `a whole number up to ${max}`);
    }
    return value;
  }

  text(name: string, charactersMax: number): string | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (typeof value !== "string" || value.length > charactersMax) {
      throw this.#wrong(name, `a text of at most ${charactersMax} characters`);
    }
    return value === "" ? undefined : value;
  }

  flag(name: string): boolean | undefined {
    const value = this.#value(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.#wrong(name, "true or false");
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.#value(name);
    if (value === undefined || value === "") return undefined;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.#wrong(name, `one of ${choices.join(", ")}`);
    return found;
  }

  /** Names of columns, each once; an empty list is the default. */
  columns(name: string): string[] | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
    if (!isList || value.length > limits.sortColumnsMax || new Set(value.map(nameKey)).size < value.length) {
      throw this.#wrong(name, `a list of at most ${limits.sortColumnsMax} columns, each once`);
    }
    return value.length === 0 ? undefined : value;
  }

  textMap(name: string): Record<string, string> | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const entries = typeof value === "object" && !Array.isArray(value) ? Object.entries(value as object) : null;
    const charactersMax = limits.tablePropertyCharactersMax;
    const isFine = ([key, text]: readonly [string, unknown]): boolean =>
      key.length <= charactersMax && typeof text === "string" && text.length <= charactersMax;
    if (entries === null || entries.length > limits.tablePropertiesMax || !entries.every(isFine)) {
      const bounds = `${limits.tablePropertiesMax} texts of at most ${charactersMax} characters`;
      throw this.#wrong(name, `an object of at most ${bounds}`);
    }
    return entries.length === 0 ? undefined : (value as Record<string, string>);
  }

  /** Any text that a client can write again: it stands at the front of every generated id. */
  idPrefix(name: string): string | undefined {
    const prefix = this.text(name, limits.idPrefixCharactersMax);
    const hasControls = prefix !== undefined && /[\u0000-\u001f\u007f]/.test(prefix);
    if (hasControls) throw this.#wrong(name, "without control characters");
    return prefix;
  }

  idValidation(name: string): IdValidation | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const reader = new ConfigReader(value, `${name}.`);
    reader.refuseOthers(["max_length", "pattern", "allowed_chars"]);
    const maxLength = positive(reader.integer("max_length", limits.idLengthMax));
    const pattern = reader.text("pattern", limits.idPatternCharactersMax);
    const allowedChars = reader.text("allowed_chars", limits.idAllowedCharactersMax);
    if (pattern !== undefined && compileIdPattern(pattern) === null) {
      throw wrong(`${name}.pattern`, "a regular expression in the syntax of RE2 (no lookaround, no backreferences)");
    }
    if (maxLength === undefined && pattern === undefined && allowedChars === undefined) return undefined;
    return {
      ...(maxLength === undefined ? {} : { maxLength }),
      ...(pattern === undefined ? {} : { pattern }),
      ...(allowedChars === undefined ? {} : { allowedChars }),
    };
  }

  #value(name: string): unknown {
    return this.#fields[name] ?? undefined;
  }

  #wrong(name: string, expected: string): MiniodbError {
    return wrong(`${this.#prefix}${name}`, expected);
  }
}

function wrong(field: string, expected: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `${field} must be ${expected}`, { field });
}
