import { createRequire } from "node:module";
import type * as ParquetWasm from "parquet-wasm";

export type ParquetEngine = typeof ParquetWasm;

const require = createRequire(import.meta.url);
let engine: ParquetEngine | undefined;

/**
 * parquet-wasm, one WebAssembly instance per thread, made at the first use. Its memory grows to the largest moment of
 * any call and never shrinks: callers keep their chunks small.
 */
export function parquetEngine(): ParquetEngine {
  engine ??= require("parquet-wasm") as ParquetEngine;
  return engine;
}

/**
 * After a trap (a Rust panic, memory exhausted) the instance's memory is in no defined state. The next call of
 * parquetEngine makes a new instance.
 */
export function discardParquetEngine(): void {
  engine = undefined;
  delete require.cache[require.resolve("parquet-wasm")];
}

export function isParquetTrap(error: unknown): boolean {
  // WebAssembly.RuntimeError; by name, as the types of Node 20 do not declare WebAssembly.
  return error instanceof Error && error.name === "RuntimeError";
}

/** Bytes of the instance's memory: its high-water mark. */
export function parquetMemoryBytes(): number {
  return (parquetEngine().wasmMemory() as { readonly buffer: ArrayBuffer }).buffer.byteLength;
}
