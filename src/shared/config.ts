/**
 * From flags, environment and YAML file to one frozen `Config`. Precedence: flag, then environment, then file, then
 * default. Every problem is found before any is reported, so that one start shows them all.
 */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { ConfigError } from "./config-error.js";
import { type OptionKey, options } from "./config-options.js";
import { editDistance } from "./edit-distance.js";
import { requirePackage } from "./require-package.js";
import type { BooleanOption, ChoiceOption, IntegerOption, ListOption, Machine, Option } from "./option-types.js";

type OptionTable = typeof options;

type ValueOf<Row> =
  Row extends ChoiceOption<infer Choice>
    ? Choice
    : Row extends IntegerOption
      ? number
      : Row extends BooleanOption
        ? boolean
        : Row extends ListOption
          ? readonly string[]
          : string;

type SectionOf<Key> = Key extends `${infer Section}.${string}` ? Section : never;

/** `config.wal.segmentBytes` for the key `wal.segmentBytes`; keys without a dot stand at the top. */
export type Config = {
  readonly [Key in OptionKey as Key extends `${string}.${string}` ? never : Key]: ValueOf<OptionTable[Key]>;
} & {
  readonly [Section in SectionOf<OptionKey>]: {
    readonly [Key in OptionKey as Key extends `${Section}.${infer Name}` ? Name : never]: ValueOf<OptionTable[Key]>;
  };
};

export interface ConfigSource {
  /** Arguments after the program name. */
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of the YAML file; without it `--config`, then MINIODB_CONFIG, then no file. */
  readonly configFile?: string;
  /** What automatic defaults depend on; without it, this machine. */
  readonly machine?: Machine;
}

interface Setting {
  readonly value: unknown;
  /** How the error message names the place, such as `--http-port`. */
  readonly place: string;
}

/** The setting of each option that has one, the strongest source only. */
type Settings = Map<OptionKey, Setting>;

const optionKeys = Object.keys(options) as OptionKey[];
/** Names that are no options of the server: where the file is, and two that the command line answers itself. */
const reservedFlags = ["config", "help", "version"];
/** MINIODB_ names that this file does not define: the config file's, and those of tests and benchmarks. */
const foreignEnv = /^MINIODB_(?:CONFIG$|TEST_|BENCH_|FAILPOINT)/;

/** Throws ConfigError with every problem of every source. The result is frozen, automatic values are filled in. */
export function loadConfig(source: ConfigSource = {}): Config {
  const env = source.env ?? process.env;
  const problems: string[] = [];
  const settings: Settings = new Map();
  const flags = readFlags(source.argv ?? [], problems);
  const configFile = source.configFile ?? flags.configFile ?? env["MINIODB_CONFIG"];
  if (configFile !== undefined && configFile !== "") readFile(configFile, settings, problems);
  readEnvironment(env, settings, problems);
  for (const [key, setting] of flags.settings) settings.set(key, setting);

  const machine = source.machine ?? { cores: availableParallelism(), memoryBytes: usableMemory() };
  const config: Record<string, unknown> = {};
  for (const key of optionKeys) {
    const value = valueOf(key, settings.get(key), problems);
    place(config, key, resolveAutomatic(options[key], value, machine));
  }
  if (problems.length === 0) problems.push(...contradictions(config as unknown as Config));
  if (problems.length > 0) throw new ConfigError(problems);
  for (const section of Object.values(config)) Object.freeze(section);
  return Object.freeze(config) as Config;
}

/** Of the machine, or what a container lets this process have of it. */
function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Options that are fine each, and not together. */
function contradictions({ garbage, query, http, ingest }: Config): string[] {
  const found: string[] = [];
  // A cursor of this node holds its files, one of another node or of before a restart only has their age.
  if (garbage.graceMs <= query.cursorAgeMs) {
    const grace = formatInteger("garbage.graceMs", garbage.graceMs);
    const age = formatInteger("query.cursorAgeMs", query.cursorAgeMs);
    found.push(
      `garbage.graceMs (${grace}) must be greater than query.cursorAgeMs (${age}): the pages of a result read files that are garbage meanwhile`,
    );
  }
  const slabBytes = powerOfTwoAtMost(ingest.slabBytes);
  if (slabBytes < http.bodyBytesMax) {
    const body = formatInteger("http.bodyBytesMax", http.bodyBytesMax);
    const slab = formatInteger("ingest.slabBytes", slabBytes);
    found.push(
      `http.bodyBytesMax (${body}) must not be greater than ingest.slabBytes (${slab}, as a power of two): a larger body would be refused with 503 for ever`,
    );
  }
  return found;
}

/** What rings and slabs are made of. */
export function powerOfTwoAtMost(bytes: number): number {
  return 2 ** Math.floor(Math.log2(bytes));
}

export interface OptionDescription {
  readonly key: OptionKey;
  readonly type: string;
  readonly default: string;
  readonly env: readonly string[];
  readonly flag: string;
  readonly help: string;
}

/** One entry per option in table order, for `--help` and the README. */
export function describeOptions(): OptionDescription[] {
  return optionKeys.map((key) => {
    const option: Option = options[key];
    return {
      key,
      type: option.type === "choice" ? option.choices.join(" | ") : option.type,
      default: describeDefault(key, option),
      env: envNames(key),
      flag: `--${flagName(key)}`,
      help: option.help,
    };
  });
}

function describeDefault(key: string, option: Option): string {
  if (option.type === "list") return option.default.join(",");
  if (option.type !== "integer") return String(option.default);
  if (option.auto !== undefined) return `0: ${option.auto.help}`;
  return formatInteger(key, option.default);
}

// ---- names -----------------------------------------------------------------------------------------------------

function envNames(key: OptionKey): string[] {
  const option: Option = options[key];
  const own = `MINIODB_${words(key).join("_").toUpperCase()}`;
  return [own, ...(option.legacyEnv ?? [])];
}

function flagName(key: OptionKey): string {
  return words(key).join("-");
}

/** `wal.segmentBytes` to `wal`, `segment`, `bytes`. */
function words(key: string): string[] {
  return key.replace(/[A-Z]/g, (letter) => `.${letter.toLowerCase()}`).split(".");
}

// ---- sources ---------------------------------------------------------------------------------------------------

function readFlags(
  argv: readonly string[],
  problems: string[],
): { settings: Settings; configFile: string | undefined } {
  const keyOfFlag = new Map(optionKeys.map((key) => [flagName(key), key]));
  const known = [...keyOfFlag.keys(), ...reservedFlags];
  const settings: Settings = new Map();
  let configFile: string | undefined;
  // Every option of the server takes a value; declared as such, so that `--name value` needs no `=`.
  const declared = [...keyOfFlag.keys(), "config"].map((name) => [name, { type: "string" }] as const);
  const { tokens } = parseArgs({ args: [...argv], options: Object.fromEntries(declared), strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === "positional") problems.push(`argument "${token.value}" is not understood`);
    if (token.kind !== "option") continue;
    const key = keyOfFlag.get(token.name);
    if (key === undefined && !reservedFlags.includes(token.name)) {
      problems.push(`${token.rawName} is not an option${suggestion(token.name, known, "--")}`);
    } else if (token.value === undefined && token.name !== "help" && token.name !== "version") {
      problems.push(`${token.rawName} needs a value`);
    } else if (key !== undefined) {
      settings.set(key, { value: token.value, place: token.rawName });
    } else if (token.name === "config") {
      configFile = token.value;
    }
  }
  return { settings, configFile };
}

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  settings: Settings,
  problems: string[],
): void {
  const known = new Set<string>();
  for (const key of optionKeys) {
    // The first name wins, so that a MINIODB_ name is stronger than the original's.
    const names = envNames(key);
    for (const name of names) known.add(name);
    const set = names.find((name) => env[name] !== undefined && env[name] !== "");
    if (set !== undefined) settings.set(key, { value: env[set], place: set });
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith("MINIODB_") || known.has(name) || foreignEnv.test(name)) continue;
    problems.push(`environment variable ${name} is not an option${suggestion(name, [...known], "")}`);
  }
}

function readFile(path: string, settings: Settings, problems: string[]): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  // Most servers have no file, and the library has seventy modules.
  const { parseDocument } = requirePackage("yaml");
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    for (const error of document.errors) problems.push(`${path}: ${error.message.split("\n")[0] ?? "not YAML"}`);
    return;
  }
  const root: unknown = document.toJS();
  if (root === null || root === undefined) return;
  if (!isRecord(root)) {
    problems.push(`${path}: must hold keys and values`);
    return;
  }
  readKeys(root, "", { path, settings, problems });
}

interface FileReading {
  readonly path: string;
  readonly settings: Settings;
  readonly problems: string[];
}

function readKeys(values: Record<string, unknown>, prefix: string, reading: FileReading): void {
  for (const [name, value] of Object.entries(values)) {
    const key = prefix + name;
    if (isOptionKey(key)) {
      // An empty YAML value is null: the default holds, as with an empty environment variable.
      if (value !== null) reading.settings.set(key, { value, place: `${reading.path}: ${key}` });
    } else if (isRecord(value)) {
      readKeys(value, `${key}.`, reading);
    } else {
      reading.problems.push(`${reading.path}: ${key} is not an option${suggestion(key, optionKeys, "")}`);
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOptionKey(key: string): key is OptionKey {
  return Object.hasOwn(options, key);
}

// ---- values ----------------------------------------------------------------------------------------------------

function valueOf(key: OptionKey, setting: Setting | undefined, problems: string[]): unknown {
  const option: Option = options[key];
  if (setting === undefined) return option.default;
  const parsed = parseValue(key, option, setting.value);
  if ("value" in parsed) return parsed.value;
  problems.push(`${setting.place}: must be ${parsed.expected}, not ${JSON.stringify(setting.value)}`);
  return option.default;
}

type Parsed = { readonly value: unknown } | { readonly expected: string };

function parseValue(key: string, option: Option, raw: unknown): Parsed {
  switch (option.type) {
    case "integer":
      return parseInteger(key, option, raw);
    case "boolean": {
      if (typeof raw === "boolean") return { value: raw };
      const text = String(raw).toLowerCase();
      if (["true", "1", "yes", "on"].includes(text)) return { value: true };
      if (["false", "0", "no", "off"].includes(text)) return { value: false };
      return { expected: "true or false" };
    }
    case "choice": {
      const found = option.choices.find((choice) => choice === raw);
      return found === undefined ? { expected: `one of ${option.choices.join(", ")}` } : { value: found };
    }
    case "list": {
      const items = typeof raw === "string" ? raw.split(",").map((item) => item.trim()) : raw;
      const isList = Array.isArray(items) && items.every((item) => typeof item === "string" && item !== "");
      return isList ? { value: Object.freeze(items) } : { expected: "a list of texts" };
    }
    case "string":
      return typeof raw === "string" || typeof raw === "number" ? { value: String(raw) } : { expected: "a text" };
  }
}

const byteUnits: Readonly<Record<string, number>> = { b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, tib: 1024 ** 4 };
const timeUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Units are fixed by the key's last word; `64 MiB` or `10 s` may be written where that word is Bytes or Ms. */
function unitsOf(key: string): Readonly<Record<string, number>> {
  if (/bytes(?:max)?$/i.test(key)) return byteUnits;
  return /ms$/i.test(key) ? timeUnits : {};
}

function parseInteger(key: string, option: IntegerOption, raw: unknown): Parsed {
  const units = unitsOf(key);
  const match = /^(-?\d[\d_]*)\s*([a-z]*)$/i.exec(typeof raw === "string" ? raw.trim() : String(raw));
  const unit = match?.[2]?.toLowerCase() ?? "";
  const factor = unit === "" ? 1 : units[unit];
  const value =
    match?.[1] === undefined || factor === undefined ? Number.NaN : Number(match[1].replaceAll("_", "")) * factor;
  if (Number.isSafeInteger(value) && value >= option.min && value <= option.max) return { value };
  const named =
    units === byteUnits ? " bytes (KiB, MiB, GiB may follow)" : units === timeUnits ? " ms (s, m, h may follow)" : "";
  return { expected: `an integer from ${option.min} to ${option.max}${named}` };
}

/** 67108864 to `64 MiB`, 60000 to `60 s`, for people. */
function formatInteger(key: string, value: number): string {
  const units = unitsOf(key);
  const names: Readonly<Record<string, string>> = {
    kib: "KiB",
    mib: "MiB",
    gib: "GiB",
    tib: "TiB",
    s: "s",
    min: "min",
    h: "h",
    d: "d",
  };
  let best = "";
  for (const [unit, factor] of Object.entries(units)) {
    if (names[unit] !== undefined && value >= factor && value % factor === 0) best = `${value / factor} ${names[unit]}`;
  }
  return best === "" ? String(value) : best;
}

function resolveAutomatic(option: Option, value: unknown, machine: Machine): unknown {
  return option.type === "integer" && option.auto !== undefined && value === 0 ? option.auto.resolve(machine) : value;
}

function place(config: Record<string, unknown>, key: string, value: unknown): void {
  const [section = "", name] = key.split(".");
  if (name === undefined) {
    config[section] = value;
    return;
  }
  const values = (config[section] ??= {}) as Record<string, unknown>;
  values[name] = value;
}

// ---- suggestions -----------------------------------------------------------------------------------------------

function suggestion(given: string, known: readonly string[], prefix: string): string {
  let best = "";
  let bestDistance = Math.max(2, Math.floor(given.length / 4)) + 1;
  for (const candidate of known) {
    const distance = editDistance(given.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best === "" ? "" : `; did you mean ${prefix}${best}?`;
}
