/** kill -9 of a server whose tables are on a real S3 server, which lives on: during uploads and commits above all. */
import { after } from "node:test";
import { type FailpointName, failpointNames } from "../../src/shared/failpoints.js";
import { type S3TestServer, startS3Server, storeEnvironment, whyNoS3Server } from "../harness/s3-server.js";
import { sized, someOf } from "../harness/test-size.js";
import { testKills } from "./kill-suite.js";

const isLong = process.env["MINIODB_TEST_FAILPOINT_KILLS"] !== undefined;

/**
 * Places that have to do with the store, and not only with a local one; the log's are the same with any store. Those of
 * compaction and garbage take seconds to be met, and are here in longer runs only. A small run dies at one place of each kind:
 * beside an upload, before the commit, and when it is made.
 */
const places = sized(/^(?:flush\.file\.stored|flush\.commit\.next|commit\.metadata\.written)$/, /^(?:commit|flush)\./);
const isOfAnyStore = (name: FailpointName): boolean =>
  (isLong ? /^(?:commit|flush|compact|garbage|store)\./ : places).test(name) &&
  name !== "store.file.written" &&
  name !== "store.name.given";

const ofAnyStore = failpointNames.filter(isOfAnyStore);

let s3: S3TestServer | undefined;
after(() => s3?.stop());

testKills({
  name: "kill -9 with the tables on S3",
  skip: await whyNoS3Server(),
  store: async () => {
    s3 = await startS3Server();
    return storeEnvironment(s3, await s3.createBucket());
  },
  failpoints: isLong ? ofAnyStore : someOf(ofAnyStore, 1),
});
