import { readFileSync } from "node:fs";
import { ConfigError, type Config } from "../../shared/config.js";
import { sealingKey, type SealingKey } from "../../shared/formats/sealed-object-v1.js";

const keyBytes = 32;

/** The key of backup.keyFile or backup.key; null where neither is set. Throws ConfigError, which never shows the key. */
export function backupKeyOf({ backup }: Pick<Config, "backup">): SealingKey | null {
  const { keyFile, key } = backup;
  if (keyFile !== "" && key !== "") throw new ConfigError(["of backup.keyFile and backup.key only one may be set"]);
  if (keyFile !== "") return sealingKey(decodeKey(readKeyFile(keyFile), "backup.keyFile"));
  return key === "" ? null : sealingKey(decodeKey(Buffer.from(key, "utf8"), "backup.key"));
}

function readKeyFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigError([`backup.keyFile ${path}: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** As raw bytes, hex or base64, with white space around the latter two. */
function decodeKey(content: Buffer, place: string): Uint8Array {
  if (content.length === keyBytes) return content;
  const text = content.toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, "base64");
  throw new ConfigError([`${place} must be a key of ${keyBytes} bytes, or these as 64 hex digits or base64`]);
}
