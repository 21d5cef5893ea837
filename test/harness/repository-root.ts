import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The checkout, from compiled code at any depth and in any output folder inside or, with its links, outside of it. */
export const repositoryRoot = findRoot();

function findRoot(): string {
  const override = process.env["MINIODB_TEST_ROOT"];
  if (override !== undefined) return override;
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, "tsconfig.json"))) return folder;
  }
  return process.cwd();
}
