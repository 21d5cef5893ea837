import assert from "node:assert/strict";
import { test } from "node:test";
import { listOf, takeOwnFlags } from "../../../src/main/commands/own-flags.js";

test("a command's own flags are taken, the server's are left", () => {
  const own = { withValue: ["--tables", "--rename"], plain: ["--json"] };
  const argv = ["--json", "--tables", "a, b", "--http-port", "1", "--rename=a=b", "--config", "x.yaml", "--tables"];
  const { values, set, rest } = takeOwnFlags(argv, own);
  assert.deepEqual(values, { "--tables": "a, b", "--rename": "a=b" });
  assert.deepEqual([...set], ["--json"]);
  assert.deepEqual(rest, ["--http-port", "1", "--config", "x.yaml", "--tables"]);
  assert.deepEqual([listOf(values["--tables"]), listOf(undefined), listOf(" ,")], [["a", "b"], [], []]);
});
