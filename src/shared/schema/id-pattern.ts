import { limits } from "../limits.js";
import { requirePackage } from "../require-package.js";

/**
 * A client's regular expression, in the syntax of RE2 (no lookaround, no backreferences), which finds or does not find a
 * match in time proportional to the text: no pattern can hold a thread, as one of RegExp can. Null where the text is no
 * such pattern, or a longer one than a table may have.
 */
export function compileIdPattern(pattern: string): ((text: string) => boolean) | null {
  if (pattern.length > limits.idPatternCharactersMax) return null;
  // 260 KB of code, for the few tables that have a pattern.
  const { RE2JS } = requirePackage("re2js");
  try {
    const compiled = RE2JS.compile(pattern);
    return (text) => compiled.matcher(text).find();
  } catch {
    return null;
  }
}
