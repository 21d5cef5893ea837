/** The rows of encrypted columns in the option table, config-options.ts. */
import { type Option, string } from "./option-types.js";

export const encryptionOptions = {
  "encryption.keyFile": string({
    default: "",
    help: "File with the keys of encrypted columns, one a line, each 32 bytes as 64 hex digits or base64: the first encrypts, all decrypt. Or one key as 32 raw bytes. Empty: none.",
  }),
  "encryption.key": string({
    default: "",
    help: "The keys themselves, with commas between them, for the environment; a flag shows in the list of processes.",
  }),
} as const satisfies Record<string, Option>;
