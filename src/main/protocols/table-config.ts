import { MiniodbError } from "../../shared/errors.js";
import {
  idStrategies,
  type IdStrategy,
  type IdValidation,
  type TableSettings,
} from "../../shared/schema/table-settings.js";

/**
 * Between the original API's table config and our settings. Keys of the original come first; the others are ours.
 *
 * | config key                | setting            |
 * |---------------------------|--------------------|
 * | buffer_size (rows)        | flushRows          |
 * | flush_interval_seconds    | flushIntervalMs    |
 * | retention_days            | retentionDays      |
 * | backup_enabled            | backupEnabled      |
 * | properties                | properties         |
 * | id_strategy, id_prefix, auto_generate_id, id_validation | as named |
 * | flush_bytes               | flushBytes         |
 * | sort_order                | sortOrder          |
 * | add_columns               | addColumns         |
 * | long_meets_double         | longMeetsDouble    |
 */
export function settingsOfConfig(config: unknown): TableSettings {
  if (config === undefined || config === null) return {};
  const reader = new ConfigReader(config);
  const seconds = reader.integer("flush_interval_seconds");
  const settings: { -readonly [Key in keyof TableSettings]: TableSettings[Key] | undefined } = {
    flushRows: positive(reader.integer("buffer_size")),
    flushIntervalMs: positive(seconds === undefined ? undefined : seconds * 1000),
    flushBytes: positive(reader.integer("flush_bytes")),
    sortOrder: reader.texts("sort_order"),
    idStrategy: reader.choice<IdStrategy>("id_strategy", idStrategies),
    idPrefix: reader.text("id_prefix"),
    autoGenerateId: reader.flag("auto_generate_id"),
    idValidation: reader.idValidation("id_validation"),
    retentionDays: positive(reader.integer("retention_days")),
    longMeetsDouble: reader.choice("long_meets_double", ["widen", "reject"] as const),
    addColumns: reader.flag("add_columns"),
    backupEnabled: reader.flag("backup_enabled"),
    properties: reader.textMap("properties"),
  };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as TableSettings;
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
    flush_bytes: settings.flushBytes,
    sort_order: settings.sortOrder,
    add_columns: settings.addColumns,
    long_meets_double: settings.longMeetsDouble,
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

  constructor(config: unknown) {
    if (typeof config !== "object" || config === null || Array.isArray(config)) throw wrong("config", "an object");
    this.#fields = config as Readonly<Record<string, unknown>>;
  }

  integer(name: string): number | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw wrong(name, "a whole number");
    return value;
  }

  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value === undefined || typeof value === "string") return value === "" ? undefined : value;
    throw wrong(name, "a text");
  }

  flag(name: string): boolean | undefined {
    const value = this.#value(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw wrong(name, "true or false");
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw wrong(name, `one of ${choices.join(", ")}`);
    return found;
  }

  texts(name: string): string[] | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length === 0 || !value.every((item) => typeof item === "string")) {
      throw wrong(name, "a list of texts");
    }
    return value;
  }

  textMap(name: string): Record<string, string> | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isMap || !Object.values(value).every((item) => typeof item === "string")) {
      throw wrong(name, "an object of texts");
    }
    return value as Record<string, string>;
  }

  idValidation(name: string): IdValidation | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const reader = new ConfigReader(value);
    const maxLength = positive(reader.integer("max_length"));
    const pattern = reader.text("pattern");
    const allowedChars = reader.text("allowed_chars");
    if (pattern !== undefined) assertPattern(pattern);
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
}

function assertPattern(pattern: string): void {
  try {
    new RegExp(pattern, "u");
  } catch {
    throw wrong("id_validation.pattern", "a regular expression");
  }
}

function wrong(field: string, expected: string): MiniodbError {
  return new MiniodbError("INVALID_REQUEST", `${field} must be ${expected}`, { field });
}
