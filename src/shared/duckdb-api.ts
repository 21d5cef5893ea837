/**
 * DuckDB's API, as the CommonJS that it is. `import` of CommonJS reads all its files one more time for the names that they
 * export, which takes a quarter of a second of processor in each thread.
 */
import { createRequire } from "node:module";
import type * as DuckDBApi from "@duckdb/node-api";

const api = createRequire(import.meta.url)("@duckdb/node-api") as typeof DuckDBApi;

export const {
  BIGINT,
  BOOLEAN,
  DATE,
  DOUBLE,
  DuckDBArrayType,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBInstance,
  DuckDBListType,
  DuckDBMapType,
  DuckDBScalarFunction,
  DuckDBStructType,
  DuckDBTypeId,
  DuckDBUnionType,
  DuckDBVarCharType,
  INTEGER,
  LIST,
  ResultReturnType,
  SQLNULL,
  VARCHAR,
  listValue,
} = api;

/* The same names as types. */
export type DuckDBArrayType = DuckDBApi.DuckDBArrayType;
export type DuckDBDecimalType = DuckDBApi.DuckDBDecimalType;
export type DuckDBInstance = DuckDBApi.DuckDBInstance;
export type DuckDBListType = DuckDBApi.DuckDBListType;
export type DuckDBMapType = DuckDBApi.DuckDBMapType;
export type DuckDBStructType = DuckDBApi.DuckDBStructType;
export type DuckDBTypeId = DuckDBApi.DuckDBTypeId;
