import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { failpoint, failpointNames } from "../../src/shared/failpoints.js";

const url = new URL("../../src/shared/failpoints.js", import.meta.url).href;

function run(environment: string, times: number): { signal: string | null; output: string; ms: number } {
  const code = `const { failpoint } = await import(${JSON.stringify(url)});
    for (let i = 1; i <= ${times}; i++) try { failpoint("wal.group.synced"); console.log(i); } catch (error) { console.log(error.code); }`;
  const start = performance.now();
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    env: { ...process.env, MINIODB_FAILPOINT: environment },
  });
  const output = result.stdout.trim().replaceAll("\n", " ") + result.stderr;
  return { signal: result.signal, output, ms: performance.now() - start };
}

test("unset, a failpoint does nothing", () => {
  for (const name of failpointNames) failpoint(name);
});

test("kill, error and sleep happen at their count, once", () => {
  const killed = run("wal.group.synced:3:kill", 5);
  assert.equal(killed.signal, "SIGKILL");
  assert.equal(killed.output, "1 2");
  assert.equal(run("wal.group.synced:2:error", 4).output, "1 EIO 3 4");
  const slept = run("wal.group.synced:1:sleep:300", 2);
  assert.equal(slept.output, "1 2");
  assert.ok(slept.ms >= 300);
  assert.equal(run("wal.rotate.named:1:kill", 2).output, "1 2");
});

test("a name or an action that does not exist is a mistake of the test", () => {
  assert.match(run("wal.imaginary:1:kill", 1).output, /known place, not wal.imaginary/);
  assert.match(run("wal.group.synced:1:explode", 1).output, /known action/);
  assert.match(run("wal.group.synced:0:kill", 1).output, /counts from 1/);
});
