export { runIngest as default } from "./buffer/run-ingest.js";
