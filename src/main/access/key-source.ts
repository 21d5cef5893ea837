/** Where the keys of AES-256 come from: files and options. No error shows a key. */
import { readFileSync } from "node:fs";
import type { Config } from "../../shared/config.js";
import { ConfigError } from "../../shared/config-error.js";

const keyBytes = 32;

export interface KeyOptions {
  readonly keyFile: string;
  readonly key: string;
}

/**
 * What the options `<section>.keyFile` and `<section>.key` hold, with its place; null where neither is set. Throws ConfigError
 * where both are, or the file cannot be read.
 */
export function readKeySource(
  section: "backup" | "encryption",
  { keyFile, key }: KeyOptions,
): { readonly content: Buffer; readonly place: string } | null {
  if (keyFile !== "" && key !== "") {
    throw new ConfigError([`of ${section}.keyFile and ${section}.key only one may be set`]);
  }
  if (key !== "") return { content: Buffer.from(key, "utf8"), place: `${section}.key` };
  if (keyFile === "") return null;
  const place = `${section}.keyFile`;
  try {
    return { content: readFileSync(keyFile), place };
  } catch (error) {
    throw new ConfigError([`${place} ${keyFile}: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** 32 bytes, given raw or as hex or base64 with white space around them. Throws ConfigError. */
export function decodeKey(content: Buffer, place: string): Uint8Array {
  if (content.length === keyBytes) return content;
  const text = content.toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, "base64");
  throw new ConfigError([`${place} must be a key of ${keyBytes} bytes, or these as 64 hex digits or base64`]);
}

/** The keys of encrypted columns, the one that encrypts first; none where no option is set. Throws ConfigError. */
export function columnKeysOf({ encryption }: Pick<Config, "encryption">): readonly Uint8Array[] {
  const source = readKeySource("encryption", encryption);
  if (source === null) return [];
  const { content, place } = source;
  if (content.length === keyBytes) return [content];
  const lines = content
    .toString("latin1")
    .split(/[\n,]/)
    .filter((line) => line.trim() !== "");
  // Two keys in one line could be read as one in the wrong place.
  const keys = lines.map((line, index) => decodeKey(Buffer.from(line.trim(), "latin1"), `${place}, key ${index + 1},`));
  if (keys.length === 0) throw new ConfigError([`${place} holds no key`]);
  return keys;
}
