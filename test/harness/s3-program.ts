/** Finds the program of an S3 server, or has Go build it from the module proxy, once for all test files. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Peer } from "./peer.js";
import { repositoryRoot } from "./repository-root.js";

export interface S3Program {
  readonly name: S3ProgramName;
  readonly path: string;
}

/**
 * Modules and their pinned versions. Cold installs, with nothing in Go's caches, on the 2-core development machine:
 * see CONTRIBUTING.md.
 */
const modules = {
  minio: "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
  versitygw: "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
} as const;
export type S3ProgramName = keyof typeof modules;

/** In the order in which one that is there is taken. */
const names: readonly S3ProgramName[] = ["minio", "versitygw"];
/** Built when none is there. */
const nameBuilt: S3ProgramName = "versitygw";

const installTimeoutMs = 15 * 60 * 1000;
const lockPollMs = 250;
const folder = join(repositoryRoot, ".cache", "s3-server");

export async function findS3Program(): Promise<Peer<S3Program>> {
  const wanted = process.env["S3_TEST_SERVER"] ?? "";
  const asked = names.find((name) => name === wanted);
  if (wanted !== "" && asked === undefined) return { missing: `S3_TEST_SERVER is one of ${names.join(", ")}` };
  for (const name of asked === undefined ? names : [asked]) {
    const path = findBuilt(name) ?? findOnPath(name);
    if (path !== undefined) return { peer: { name, path } };
  }
  return build(asked ?? nameBuilt);
}

/** Where the program of this very version is when it is built; another version makes another file. */
function builtPath(name: S3ProgramName): string {
  const version = modules[name].slice(modules[name].indexOf("@") + 1);
  return join(folder, `${name}-${version}`);
}

function findBuilt(name: S3ProgramName): string | undefined {
  const path = builtPath(name);
  return existsSync(path) ? path : undefined;
}

function findOnPath(name: S3ProgramName): string | undefined {
  const paths = (process.env["PATH"] ?? "").split(delimiter).map((each) => join(each, name));
  return paths.find((path) => existsSync(path));
}

/** One process builds; the others wait for its file, or take over when it died. */
async function build(name: S3ProgramName): Promise<Peer<S3Program>> {
  mkdirSync(folder, { recursive: true });
  const path = builtPath(name);
  const lock = `${path}.lock`;
  const deadline = performance.now() + installTimeoutMs;
  while (!takeLock(lock)) {
    if (performance.now() > deadline) return { missing: `${name} was not built in time by another process` };
    await delay(lockPollMs);
  }
  try {
    // Whoever had the lock before may have built it.
    const reason = existsSync(path) ? undefined : await goInstall(name, path);
    return reason === undefined ? { peer: { name, path } } : { missing: reason };
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * The lock is a file that holds the process id of its owner; that of a process which is gone is no lock. Two that find such
 * a one at once may both build, which costs time but nothing else: what they build gets its name by a rename.
 */
function takeLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    if (isOwnerGone(lock)) rmSync(lock, { force: true });
    return false;
  }
}

function isOwnerGone(lock: string): boolean {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    // Not written yet: its owner has made it this moment.
    if (owner === 0) return false;
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/**
 * Undefined when it went well, else one line. Modules and objects stay in Go's own caches, so that another checkout on this
 * machine builds in seconds. It has the lowest priority: other tests run meanwhile, some of which measure time.
 */
async function goInstall(name: S3ProgramName, path: string): Promise<string | undefined> {
  const binFolder = `${path}.${process.pid}`;
  // A toolchain of another version would have to be downloaded; the pinned versions build with Go 1.25 and later.
  const env = { ...process.env, GOBIN: binFolder, GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
  const child = spawn("go", ["install", "-trimpath", "-ldflags=-s -w", modules[name]], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
    timeout: installTimeoutMs,
    killSignal: "SIGKILL",
  });
  const end = (): boolean => child.kill("SIGKILL");
  process.once("exit", end);
  try {
    setPriority(child.pid ?? 0, constants.priority.PRIORITY_LOW);
  } catch {
    // It ended already, which is seen below.
  }
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    output = (output + chunk).slice(-4096);
  });
  const outcome = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code === 0 ? "" : (signal ?? lastLine(output))));
  });
  process.off("exit", end);
  try {
    if (outcome === "") renameSync(join(binFolder, name), path);
  } finally {
    rmSync(binFolder, { recursive: true, force: true });
  }
  return outcome === "" ? undefined : `no S3 server, as go install ${modules[name]} does not work here: ${outcome}`;
}

function lastLine(output: string): string {
  return output.trim().split("\n").at(-1) ?? "no reason given";
}
