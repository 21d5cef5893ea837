/**
 * Packages that are CommonJS, loaded as what they are. `import` of CommonJS reads each file one more time, with a parser in
 * JavaScript (cjs-module-lexer), for the names that it exports. In a thread that does nothing else yet that parser is the
 * hottest code there is, and V8 optimises it in each thread anew: together it was a fifth of the processor time of a start.
 */
import { createRequire } from "node:module";
import type * as S3 from "@aws-sdk/client-s3";
import type * as Crc32 from "@node-rs/crc32";
import type Avsc from "avsc";
import type * as Cockatiel from "cockatiel";
import type * as Ioredis from "ioredis";
import type * as Pino from "pino";
import type * as Piscina from "piscina";
import type * as PromClient from "prom-client";
import type * as Re2 from "re2js";
import type * as Yaml from "yaml";

interface Packages {
  readonly "@aws-sdk/client-s3": typeof S3;
  readonly "@node-rs/crc32": typeof Crc32;
  readonly avsc: typeof Avsc;
  readonly cockatiel: typeof Cockatiel;
  readonly ioredis: typeof Ioredis;
  readonly pino: typeof Pino;
  readonly piscina: typeof Piscina;
  readonly "prom-client": typeof PromClient;
  readonly re2js: typeof Re2;
  readonly yaml: typeof Yaml;
}

const require = createRequire(import.meta.url);

/** Of one thread, as Node keeps it: the first call loads it. Types come by `import type`. */
export function requirePackage<Name extends keyof Packages>(name: Name): Packages[Name] {
  return require(name) as Packages[Name];
}
