/**
 * The rules of the house that no tool checks, as a test. Function length, parameter count, `any`, `!`, cycles and
 * unhandled promises are oxlint's (.oxlintrc.json); unused files, exports and dependencies are knip's (knip.json).
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix, relative, sep } from "node:path";
import { describe, test } from "node:test";
import { rowErrorCodes } from "../src/shared/columns/row-account.js";
import { describeOptions } from "../src/shared/config.js";
import { errorCodes } from "../src/shared/errors.js";
import { limits } from "../src/shared/limits.js";
import { repositoryRoot } from "./harness/repository-root.js";

interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

const linesMax = 500;

function readTree(folder: string): SourceFile[] {
  const start = join(repositoryRoot, folder);
  if (!existsSync(start)) return [];
  return readdirSync(start, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:ts|mjs)$/.test(entry.name) && !entry.parentPath.includes("node_modules"))
    .map((entry) => {
      const absolute = join(entry.parentPath, entry.name);
      const text = readFileSync(absolute, "utf8");
      return { path: relative(repositoryRoot, absolute).split(sep).join("/"), text, lines: text.split("\n") };
    });
}

const src = readTree("src");
const all = [...src, ...readTree("test"), ...readTree("bench"), ...readTree("tools")];

interface Import {
  readonly file: string;
  /** Path from the root for relative imports, else the name as written. */
  readonly target: string;
}

/** Static and dynamic imports and re-exports. */
function importsOf(file: SourceFile): Import[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|^import\s+)"([^"]+)"/gm;
  return [...file.text.matchAll(pattern)].map(([, name = ""]) => ({
    file: file.path,
    target: name.startsWith(".") ? posix.normalize(posix.join(posix.dirname(file.path), name)) : name,
  }));
}

/** Every line that breaks a rule, as `path:line: text`. */
function offences(files: readonly SourceFile[], isWrong: (line: string) => boolean): string[] {
  return files.flatMap((file) =>
    file.lines.flatMap((line, index) => (isWrong(line) ? [`${file.path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

function none(found: readonly unknown[], rule: string): void {
  assert.deepEqual(found, [], rule);
}

describe("imports", () => {
  const imports = src.flatMap(importsOf);

  test("src/shared imports neither side, and the sides do not import each other", () => {
    none(
      imports.filter(({ file, target }) => {
        const isMain = target.startsWith("src/main/");
        const isWorkers = target.startsWith("src/workers/");
        if (file.startsWith("src/shared/")) return isMain || isWorkers;
        return file.startsWith("src/main/") ? isWorkers : isMain;
      }),
      "directions: main -> shared <- workers",
    );
  });

  test("nothing in src imports test, bench or tools", () => {
    none(
      imports.filter(({ target }) => /^(?:test|bench|tools)\//.test(target)),
      "src is what ships",
    );
  });

  test("only sockets import uWebSockets.js and ws", () => {
    none(
      imports.filter(
        ({ file, target }) => /^(?:uWebSockets\.js|ws)$/.test(target) && !file.startsWith("src/main/sockets/"),
      ),
      "bytes come in through src/main/sockets",
    );
  });

  test("CommonJS packages come by require-package.ts, as importing them is dear", () => {
    const loader = src.find(({ path }) => path === "src/shared/require-package.ts");
    const packages = new Set(
      [...(loader?.text.matchAll(/^import type .* from "([^"]+)";$/gm) ?? [])].map(([, name]) => name),
    );
    assert.ok(packages.has("piscina"));
    const imported = src.flatMap(({ path, text }) =>
      [...text.matchAll(/^import (?!type )[^;]*? from "([^"]+)"|\bimport\("([^"]+)"\)/gm)].map(([, name, later]) => [
        path,
        name ?? later,
      ]),
    );
    none(
      imported.filter(([, name]) => packages.has(name)),
      "see src/shared/require-package.ts",
    );
  });

  test("no barrels: a file exports what it defines", () => {
    none(
      offences(all, (line) => /^export\s+(?:type\s+)?(?:\*|\{[^}]*\})\s*(?:as\s+\w+\s*)?from\b/.test(line)),
      "import from the file that defines it",
    );
  });
});

describe("files", () => {
  test(`at most ${linesMax} lines`, () => {
    const lengths = all.map((file) => [file.path, file.lines.length - 1] as const);
    none(
      lengths.filter(([, lines]) => lines > linesMax),
      "cut the file along its stages",
    );
  });

  test("names are kebab-case", () => {
    none(
      all.map((file) => file.path).filter((path) => !/^[a-z0-9-]+(?:\.(?:test|d))?\.(?:ts|mjs)$/.test(basename(path))),
      "whole words with dashes",
    );
  });

  test("a test lies where the file that it tests lies", () => {
    const own = /^test\/(?:conformance|crash|peers|power-loss|fuzz|e2e|cluster|docker|harness|tidy\.test)/;
    const tests = all.filter((file) => file.path.endsWith(".test.ts") && !own.test(file.path));
    none(
      tests
        .map((file) => file.path)
        .filter((path) => {
          // `name.test.ts` or `name-aspect.test.ts` beside `name.ts`, or a test of the whole folder.
          const folder = dirname(path).replace(/^test\/?/, "");
          return !existsSync(join(repositoryRoot, folder.startsWith("bench/") ? folder : `src/${folder}`));
        }),
      "test/<path as in src>/<name>.test.ts",
    );
  });

  test("the lint rules that stand for house rules are switched on", () => {
    const { rules } = JSON.parse(readFileSync(join(repositoryRoot, ".oxlintrc.json"), "utf8")) as {
      readonly rules: Readonly<Record<string, unknown>>;
    };
    assert.deepEqual(rules["eslint/max-lines-per-function"], ["error", { max: 70 }]);
    assert.deepEqual(rules["eslint/max-params"], ["error", { max: 4 }]);
    for (const rule of ["no-explicit-any", "no-non-null-assertion", "ban-ts-comment", "switch-exhaustiveness-check"]) {
      assert.equal(rules[`typescript/${rule}`], "error", rule);
    }
  });
});

describe("lines", () => {
  test("no rule is switched off in place", () => {
    // As patterns, these lines do not offend themselves.
    const checks = /@ts-(?:ignore|expect-error|nocheck)|(?:ox|es)lint-(?:disable|enable)|c8 (?:ignore)/;
    none(
      offences(all, (line) => checks.test(line)),
      "mend the code instead",
    );
    // Tests may keep a table in columns.
    const format = /(?:oxfmt|prettier)-(?:ignore)/;
    const files = all.filter((file) => !file.path.startsWith("test/"));
    none(
      offences(files, (line) => format.test(line)),
      "the formatter has the last word",
    );
  });

  test("no default exports", () => {
    none(
      offences(all, (line) => /^export\s+default\b/.test(line)),
      "name what is exported",
    );
  });

  test("no console in src outside the command line", () => {
    const files = src.filter((file) => !/^src\/main\/(?:cli\.ts|commands\/)/.test(file.path));
    none(
      offences(files, (line) => /(?<![\w.])console\.\w/.test(line) && !/^\s*(?:\*|\/\/)/.test(line)),
      "return, throw or log",
    );
  });

  test("no test is picked alone or left to do", () => {
    none(
      offences(all, (line) => /\b(?:test|describe|it)\.(?:only|todo)\(|\b(?:only|todo): true/.test(line)),
      "all tests run",
    );
  });
});

describe("reference tables", () => {
  /** Source text without the file that defines the names. */
  function textWithout(...paths: readonly string[]): string {
    return src
      .filter((file) => !paths.includes(file.path))
      .map((file) => file.text)
      .join("\n");
  }

  test("every error code is used", () => {
    const text = textWithout("src/shared/errors.ts");
    none(
      Object.keys(errorCodes).filter((code) => !text.includes(`"${code}"`)),
      "remove the code, or use it",
    );
  });

  test("every row error code is used", () => {
    const text = textWithout("src/shared/columns/row-account.ts");
    none(
      Object.keys(rowErrorCodes).filter((code) => !text.includes(`"${code}"`)),
      "remove the code, or use it",
    );
  });

  test("every limit is used", () => {
    const text = textWithout("src/shared/limits.ts");
    none(
      Object.keys(limits).filter((name) => !text.includes(`limits.${name}`)),
      "remove the limit, or use it",
    );
  });

  test("every option is read", () => {
    const text = textWithout("src/shared/config.ts", "src/shared/config-options.ts");
    // Read as `config.wal.segmentBytes` or, of one section, as `options.segmentBytes` or `{ segmentBytes }`.
    const isRead = (key: string) => new RegExp(`\\b${key.split(".").at(-1) ?? key}\\b`).test(text);
    none(
      describeOptions()
        .map((option) => option.key)
        .filter((key) => !isRead(key)),
      "remove the option, or read it",
    );
  });

  test("the generated parts of the README are up to date (node tools/docs.mjs writes them)", () => {
    const result = spawnSync(process.execPath, [join(repositoryRoot, "tools/docs.mjs"), "--check"], {
      encoding: "utf8",
    });
    assert.equal(result.status, 0, result.stderr);
  });
});

describe("packages", () => {
  test("the lock file holds the packages of every platform (node tools/complete-lock.mjs adds them)", () => {
    const result = spawnSync(process.execPath, [join(repositoryRoot, "tools/complete-lock.mjs"), "--check"], {
      encoding: "utf8",
    });
    assert.equal(result.status, 0, result.stderr);
  });

  test("every dependency has an exact version, and the lock file names no registry", () => {
    const manifest = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as Record<
      "dependencies" | "devDependencies",
      Readonly<Record<string, string>>
    >;
    const pins = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    none(
      pins.filter(([, version]) => !/^(?:npm:[\w.@/-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version)),
      "exact pins",
    );
    assert.ok(!readFileSync(join(repositoryRoot, "package-lock.json"), "utf8").includes('"resolved"'));
  });
});
