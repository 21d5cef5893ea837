/**
 * Tests against other engines. Where one is missing the test is skipped and says so in one line; in CI, which has them
 * all, that is a failure.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { repositoryRoot } from "./repository-root.js";

/** The peer, or why there is none. */
export type Peer<T> = { readonly peer: T } | { readonly missing: string };

/** The peer; undefined after it has marked the test as skipped, when the caller returns at once. */
export function needPeer<T>(context: TestContext, found: Peer<T>): T | undefined {
  if ("peer" in found) return found.peer;
  assert.notEqual(process.env["CI"], "true", `CI has every peer, but ${found.missing}`);
  context.skip(found.missing);
  return undefined;
}

const installTimeoutMs = 10 * 60 * 1000;

/**
 * The python of a virtual environment with the packages of a requirements file (a path from the root), made at first use
 * in `.cache/`; another list makes another environment.
 */
export function findPython(requirementsPath: string): Peer<string> {
  const requirements = join(repositoryRoot, requirementsPath);
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const folder = join(repositoryRoot, ".cache", `python-${hash}`);
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return { peer: python };
  mkdirSync(join(repositoryRoot, ".cache"), { recursive: true });
  // Made aside and renamed when it is whole: test files run side by side, and an install may break off.
  const unfinished = `${folder}.${process.pid}`;
  const installed =
    run("python3", ["-m", "venv", unfinished]) ??
    run(join(unfinished, "bin", "python"), [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--only-binary=:all:",
      "-r",
      requirements,
    ]);
  if (installed !== undefined) {
    rmSync(unfinished, { recursive: true, force: true });
    return { missing: installed };
  }
  try {
    renameSync(unfinished, folder);
  } catch {
    // Another process was first.
    rmSync(unfinished, { recursive: true, force: true });
  }
  return { peer: python };
}

/** Undefined when it went well, else one line. */
function run(command: string, args: readonly string[]): string | undefined {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: installTimeoutMs });
  if (status === 0) return undefined;
  const lines = (error?.message ?? stderr).trim().split("\n");
  return `${command} ${args.slice(0, 2).join(" ")} does not work here: ${lines.at(-1) ?? "no reason given"}`;
}
