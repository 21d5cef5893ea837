import { test } from "node:test";
import { loadUws } from "../../../src/main/sockets/uws-server.js";
import { testConformance } from "./conformance.js";

let reason = "";
try {
  loadUws();
} catch (error) {
  reason = String(error).replace(/\s+/g, " ");
}

if (reason === "") testConformance("uws");
else test("uws: conformance", { skip: reason }, () => undefined);
