import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { configOfSettings, patchOfConfig, settingsOfConfig } from "../../../src/main/protocols/table-config.js";
import { MiniodbError } from "../../../src/shared/errors.js";
import { withPatch } from "../../../src/shared/schema/table-settings.js";

const config = {
  buffer_size: 500,
  flush_interval_seconds: 7,
  retention_days: 30,
  backup_enabled: true,
  properties: { owner: "ops" },
  id_strategy: "snowflake",
  id_prefix: "p:",
  auto_generate_id: true,
  id_validation: { max_length: 20, pattern: "^p:", allowed_chars: "p:0123456789" },
  flush_bytes: 1000,
  sort_order: ["host", "timestamp"],
  add_columns: false,
  ignore_unknown: true,
  long_meets_double: "reject",
  bloom_filter: true,
};

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof MiniodbError);
    assert.equal(error.code, "INVALID_REQUEST");
    return `${String(error.details["field"])}: ${error.message}`;
  }
  return assert.fail("it was taken");
}

describe("table config", () => {
  test("every key comes back as it went in", () => {
    assert.deepEqual(configOfSettings(settingsOfConfig(config)), config);
    assert.deepEqual(configOfSettings(settingsOfConfig(undefined)), { id_strategy: "user_provided" });
  });

  test("0, an empty text and null are the default, as in the original", () => {
    const empty = { buffer_size: 0, flush_interval_seconds: 0, id_prefix: "", retention_days: null, sort_order: [] };
    assert.deepEqual(settingsOfConfig(empty), {});
    assert.deepEqual(settingsOfConfig({ id_validation: { max_length: 0, pattern: "", allowed_chars: "" } }), {});
  });

  test("what is not of its form is refused by name", () => {
    const cases: readonly (readonly [object, RegExp])[] = [
      [{ buffer_size: -1 }, /^buffer_size: /],
      [{ buffer_size: "5" }, /^buffer_size: /],
      [{ flush_interval_seconds: 1.5 }, /^flush_interval_seconds: /],
      [{ flush_interval_seconds: 1e12 }, /up to 31536000/],
      [{ retention_days: 40_000 }, /up to 36500/],
      [{ id_strategy: "serial" }, /one of user_provided, uuid, snowflake, custom/],
      [{ id_prefix: "x".repeat(65) }, /at most 64/],
      [{ id_prefix: "a\n" }, /control/],
      [{ properties: { a: 1 } }, /^properties: /],
      [{ properties: { a: "x".repeat(2000) } }, /1024/],
      [{ sort_order: ["a", "A"] }, /each once/],
      [{ sort_order: "a" }, /^sort_order: /],
      [{ id_validation: { pattern: "(?=a)" } }, /^id_validation\.pattern: .*RE2/],
      [{ id_validation: { max_length: 5000 } }, /^id_validation\.max_length: .*1024/],
      [{ id_validation: { maximum: 5 } }, /^id_validation\.maximum: /],
      [{ bufer_size: 5 }, /^bufer_size: .*did you mean buffer_size\?/],
      [[], /^config: /],
    ];
    for (const [value, expected] of cases) {
      const message = refusal(() => settingsOfConfig(value));
      assert.match(message, expected);
    }
    assert.match(
      refusal(() => patchOfConfig(undefined)),
      /^config: /,
    );
  });

  test("a patch names what it changes, and nothing else", () => {
    const settings = settingsOfConfig(config);
    const patch = patchOfConfig({ buffer_size: 0, retention_days: null, id_prefix: "q", properties: { a: "b" } });
    assert.deepEqual(patch, { flushRows: null, retentionDays: null, idPrefix: "q", properties: { a: "b" } });
    const { flushRows: _rows, retentionDays: _days, ...others } = settings;
    assert.deepEqual(withPatch(settings, patch), { ...others, idPrefix: "q", properties: { a: "b" } });
    assert.deepEqual(withPatch(settings, patchOfConfig({})), settings);
  });
});
