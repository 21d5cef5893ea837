import type { Config } from "../../shared/config.js";
import { sealingKey, type SealingKey } from "../../shared/formats/sealed-object-v1.js";
import { decodeKey, readKeySource } from "../access/key-source.js";

/** The key of backup.keyFile or backup.key; null where neither is set. Throws ConfigError, which never shows the key. */
export function backupKeyOf({ backup }: Pick<Config, "backup">): SealingKey | null {
  const source = readKeySource("backup", backup);
  return source === null ? null : sealingKey(decodeKey(source.content, source.place));
}
