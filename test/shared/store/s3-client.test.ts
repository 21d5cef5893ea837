import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { openS3Client } from "../../../src/shared/store/s3-client.js";
import type { S3Options } from "../../../src/shared/store/s3-options.js";
import { S3Store } from "../../../src/shared/store/s3-store.js";
import { type S3TestServer, startS3Server, whyNoS3Server } from "../../harness/s3-server.js";
import { s3OptionsOf } from "./s3-fixture.js";
import { bytesOf } from "./store-conformance.js";

const skip = await whyNoS3Server();

describe("an S3 client", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "miniodb-s3-client-"));
  let server: S3TestServer;
  let bucket: string;

  before(async () => {
    server = await startS3Server();
    bucket = await server.createBucket();
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  /** To the real server, and what the client says to `onText`, too. */
  const passOn = (socket: Socket, onText: (text: string) => void): void => {
    const target = new URL(server.endpoint);
    const upstream = connect(Number(target.port), target.hostname);
    socket.on("data", (bytes: Buffer) => onText(bytes.toString("latin1")));
    socket.pipe(upstream).pipe(socket);
    for (const side of [socket, upstream]) side.on("error", () => side.destroy());
  };

  const roundTrip = async (changes: Partial<S3Options>): Promise<string> => {
    const options = s3OptionsOf(server, bucket, changes);
    const client = openS3Client(options);
    try {
      const store = new S3Store(client, options);
      await store.put("client/a", bytesOf("there and back"));
      return Buffer.from(await store.get("client/a")).toString();
    } finally {
      client.destroy();
    }
  };

  test("trusts the authority of store.caFile, and no other that it does not know", async (context) => {
    const [certificate, key] = makeCertificate(folder);
    if (certificate === undefined || key === undefined) {
      assert.notEqual(process.env["CI"], "true", "CI has openssl");
      context.skip("there is no openssl here");
      return;
    }
    let heads = "";
    const tls = createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (socket) => {
      passOn(socket, (text) => (heads += text));
    });
    tls.on("tlsClientError", () => {});
    const endpoint = `https://127.0.0.1:${await listen(tls)}`;
    try {
      assert.equal(await roundTrip({ endpoint, caFile: certificate }), "there and back");
      assert.match(heads, /^PUT [^]*x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n/m, "TLS and CRC-32C guard the body");
      await assert.rejects(roundTrip({ endpoint }), /self.signed/i);
      await assert.rejects(roundTrip({ endpoint, caFile: join(folder, "none.pem") }), /store\.caFile/);
    } finally {
      tls.close();
    }
  });

  test("signs what it sends over plain HTTP, body and all", async () => {
    let heads = "";
    const plain = createServer((socket) => passOn(socket, (text) => (heads += text)));
    try {
      assert.equal(await roundTrip({ endpoint: `http://127.0.0.1:${await listen(plain)}` }), "there and back");
      assert.match(heads, /^PUT [^]*x-amz-content-sha256: [0-9a-f]{64}\r\n/m);
      assert.doesNotMatch(heads, /UNSIGNED/);
    } finally {
      plain.close();
    }
  });

  test("takes credentials from where AWS's SDKs do, and again before they expire", async () => {
    let asked = 0;
    const source = createHttpServer((_request, response) => {
      asked++;
      const credentials = {
        AccessKeyId: server.accessKeyId,
        SecretAccessKey: server.secretAccessKey,
        Token: "",
        // Within the time before the end in which the SDK asks again.
        Expiration: new Date(Date.now() + 60_000).toISOString(),
      };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(credentials));
    });
    const port = await listen(source);
    const names = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
    const saved = names.map((name) => process.env[name]);
    const empty = join(folder, "empty");
    writeFileSync(empty, "");
    [`http://127.0.0.1:${port}/`, empty, empty].forEach((value, index) => {
      process.env[names[index] as string] = value;
    });
    try {
      assert.equal(await roundTrip({ accessKeyId: "", secretAccessKey: "" }), "there and back");
      assert.ok(asked >= 2, `asked ${asked} times for two calls`);
    } finally {
      names.forEach((name, index) => {
        const value = saved[index];
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      });
      source.close();
    }
  });
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** A certificate of its own for 127.0.0.1, and its key; nothing where there is no openssl. */
function makeCertificate(folder: string): readonly string[] {
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  const form = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1";
  const rest = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key];
  const made = spawnSync("openssl", [...form.split(" "), ...rest]);
  return made.status === 0 ? [certificate, key] : [];
}
