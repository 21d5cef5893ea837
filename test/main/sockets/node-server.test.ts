import { testConformance } from "./conformance.js";

testConformance("node");
