/** The kinds of rows of the option table, config-options.ts. */

interface OptionCommon {
  readonly help: string;
  /** Environment names of the original MinIODB that mean the same. */
  readonly legacyEnv?: readonly string[];
}

export interface IntegerOption extends OptionCommon {
  readonly type: "integer";
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** What 0 stands for, filled in by `loadConfig` from the machine that it runs on. */
  readonly auto?: { readonly help: string; readonly resolve: (machine: Machine) => number };
}

export interface StringOption extends OptionCommon {
  readonly type: "string";
  readonly default: string;
}

export interface BooleanOption extends OptionCommon {
  readonly type: "boolean";
  readonly default: boolean;
}

export interface ChoiceOption<Choice extends string = string> extends OptionCommon {
  readonly type: "choice";
  readonly choices: readonly Choice[];
  readonly default: Choice;
}

/** In YAML a sequence, elsewhere a text with commas. */
export interface ListOption extends OptionCommon {
  readonly type: "list";
  readonly default: readonly string[];
}

export type Option = IntegerOption | StringOption | BooleanOption | ChoiceOption | ListOption;

/** What the automatic defaults depend on. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

export function integer(option: Omit<IntegerOption, "type">): IntegerOption {
  return { type: "integer", ...option };
}

export function string(option: Omit<StringOption, "type">): StringOption {
  return { type: "string", ...option };
}

export function boolean(option: Omit<BooleanOption, "type">): BooleanOption {
  return { type: "boolean", ...option };
}

export function choice<const Choice extends string>(option: Omit<ChoiceOption<Choice>, "type">): ChoiceOption<Choice> {
  return { type: "choice", ...option };
}
