// Writes the generated parts of README.md from the tables in the code: `<!-- errors:begin -->` to
// `<!-- errors:end -->`, likewise row-errors and options. `--check` writes nothing and fails when a part is out of date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./run-command.mjs";

async function load(path) {
  const file = join(root, "dist", "src", path);
  if (!existsSync(file)) throw new Error(`${file} is missing: build first (npm run build)`);
  return import(pathToFileURL(file).href);
}

/** A Markdown table; bars in cells are escaped. */
function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

async function sections() {
  const { errorCodes } = await load("shared/errors.js");
  const { rowErrorCodes } = await load("shared/columns/row-account.js");
  const { describeOptions } = await load("shared/config.js");
  return {
    errors: table(
      ["code", "HTTP", "gRPC", "repeat?", "cause", "remedy"],
      Object.entries(errorCodes).map(([code, entry]) => [
        `\`${code}\``,
        entry.status,
        entry.grpc,
        entry.retryable ? "yes" : "no",
        entry.cause,
        entry.remedy,
      ]),
    ),
    "row-errors": table(
      ["code", "meaning"],
      Object.entries(rowErrorCodes).map(([code, sentence]) => [`\`${code}\``, sentence]),
    ),
    options: table(
      ["key (YAML)", "type", "default", "environment", "flag", "what it is"],
      describeOptions().map((option) => [
        `\`${option.key}\``,
        option.type,
        option.default === "" ? "(empty)" : option.default,
        option.env.map((name) => `\`${name}\``).join(" "),
        `\`${option.flag}\``,
        option.help,
      ]),
    ),
  };
}

/** Throws when the markers are not there, so that a part cannot get lost. */
function replaceSection(text, name, content) {
  const begin = `<!-- ${name}:begin -->`;
  const end = `<!-- ${name}:end -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`README.md has no ${begin} ... ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
}

const path = join(root, "README.md");
const before = existsSync(path) ? readFileSync(path, "utf8") : "";
let after = before;
for (const [name, content] of Object.entries(await sections())) after = replaceSection(after, name, content);
if (after === before) {
  process.stdout.write("docs: README.md is up to date\n");
} else if (process.argv.includes("--check")) {
  process.stderr.write("docs: README.md is out of date: run node tools/docs.mjs\n");
  process.exitCode = 1;
} else {
  writeFileSync(path, after);
  process.stdout.write("docs: README.md written\n");
}
