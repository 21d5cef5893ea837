/** The flags of a command beside those of the server. */
export interface OwnFlags {
  /** Of those with a value, by name; the last one counts. */
  readonly values: Readonly<Record<string, string>>;
  readonly set: ReadonlySet<string>;
  /** For loadConfig. */
  readonly rest: readonly string[];
}

/** `withValue` take `--name value` or `--name=value`, `plain` stand alone. A value that is missing is left to loadConfig. */
export function takeOwnFlags(
  argv: readonly string[],
  own: { readonly withValue: readonly string[]; readonly plain: readonly string[] },
): OwnFlags {
  const values: Record<string, string> = {};
  const set = new Set<string>();
  const rest: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    const [name = "", ...after] = argument.split("=");
    const isOwn = own.withValue.includes(name);
    const value = after.length > 0 ? after.join("=") : argv[index + 1];
    if (isOwn && value !== undefined) {
      values[name] = value;
      if (after.length === 0) index++;
    } else if (own.plain.includes(argument)) set.add(argument);
    else rest.push(argument);
  }
  return { values, set, rest };
}

/** `a,b` to its parts; undefined is none. */
export function listOf(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
