/** WebSocket /v1/stream as a client meets it: many batches in flight, credits, resuming after a cut. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { loadUws } from "../../src/main/sockets/uws-server.js";
import { HttpClient } from "../harness/http-client.js";
import { ServerProcess } from "../harness/server-process.js";

interface Answer {
  readonly type: "welcome" | "ack" | "error";
  readonly seq?: number | string | null;
  readonly credits: number;
  readonly accepted?: number;
  readonly rejected?: number;
  readonly repeated?: boolean;
  readonly code?: string;
  readonly batch_id?: string;
  readonly dead_letters?: number;
}

/** One connection whose answers are read in turn. */
class StreamClient {
  readonly #socket: WebSocket;
  readonly #answers: Answer[] = [];
  readonly #waiting: ((answer: Answer) => void)[] = [];

  constructor(url: string) {
    this.#socket = new WebSocket(url.replace("http", "ws"));
    this.#socket.on("message", (data: Buffer) => {
      const answer = JSON.parse(data.toString()) as Answer;
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#answers.push(answer);
      else waiting(answer);
    });
  }

  async open(): Promise<void> {
    await once(this.#socket, "open");
  }

  send(header: object | null, body: string): void {
    this.#socket.send(`${header === null ? "" : JSON.stringify(header)}\n${body}`);
  }

  sendRaw(message: string | Buffer): void {
    this.#socket.send(message);
  }

  next(): Promise<Answer> {
    const answer = this.#answers.shift();
    if (answer !== undefined) return Promise.resolve(answer);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async cut(): Promise<void> {
    this.#socket.terminate();
    await once(this.#socket, "close");
  }
}

for (const implementation of implementations()) {
  describe(`/v1/stream (${implementation})`, () => {
    let server: ServerProcess;
    let client: HttpClient;

    before(async () => {
      const flags = ["--sockets-implementation", implementation, "--http-in-flight-per-connection-max", "8"];
      server = await ServerProcess.start({ flags });
      client = new HttpClient(() => server.url);
    });

    after(() => server.dispose());

    const connect = async (query: string): Promise<StreamClient> => {
      const stream = new StreamClient(`${server.url}/v1/stream${query}`);
      await stream.open();
      const welcome = await stream.next();
      assert.deepEqual([welcome.type, welcome.credits], ["welcome", 8]);
      return stream;
    };

    test("batches in flight are answered in order, each with its account", async () => {
      const stream = await connect("?table=cpu&format=ndjson");
      let sent = 0;
      let answered = 0;
      let credits = 8;
      while (answered < 200) {
        while (credits > 0 && sent < 200) {
          stream.send({ seq: sent }, `{"v":${sent}}\n{"v":"no"}`);
          sent++;
          credits--;
        }
        const answer = await stream.next();
        assert.deepEqual([answer.type, answer.seq, answer.accepted, answer.rejected], ["ack", answered, 1, 1]);
        credits += answer.credits;
        answered++;
      }
      assert.equal(await client.count("cpu"), 200);
      await stream.cut();
    });

    test("a batch without a credit is refused, and nothing of it is in", async () => {
      const stream = await connect("?table=flood&format=json");
      const answers: Answer[] = [];
      for (let seq = 0; seq < 300; seq++) stream.send({ seq }, `[{"v":${seq}}]`);
      for (let seq = 0; seq < 300; seq++) answers.push(await stream.next());
      const acked = answers.filter((answer) => answer.type === "ack").length;
      const refused = answers.filter((answer) => answer.code === "TOO_MANY_REQUESTS");
      assert.equal(acked + refused.length, 300);
      assert.ok(refused.every((answer) => answer.credits === 0));
      assert.equal(await client.count("flood"), acked);
      await stream.cut();
    });

    test("after a cut the same batch ids bring nothing twice", async () => {
      const first = await connect("");
      const batches = Array.from({ length: 8 }, (_, index) => ({
        table: "resumed",
        seq: index,
        batch_id: `b-${index}`,
        format: "csv",
      }));
      for (const batch of batches) first.send(batch, "v\n1\n2\n");
      await first.next();
      await first.cut();
      const second = await connect("?table=resumed");
      for (const batch of batches) second.send(batch, "v\n1\n2\n");
      for (const batch of batches) {
        const answer = await second.next();
        assert.deepEqual([answer.type, answer.accepted], ["ack", 2]);
        assert.ok(
          batches.some(({ batch_id: id }) => id === answer.batch_id),
          JSON.stringify(batch),
        );
      }
      assert.equal(await client.count("resumed"), 16);
      await second.cut();
    });

    test("messages that cannot be are answered with their seq, and the connection goes on", async () => {
      const stream = await connect("?table=wrong");
      const cases: readonly [string | Buffer, string][] = [
        ["no newline", "INVALID_REQUEST"],
        ["{broken\n", "INVALID_REQUEST"],
        ['{"seq":1,"table":"1"}\n{}', "INVALID_REQUEST"],
        ['{"seq":2,"durability":"x"}\n{}', "INVALID_REQUEST"],
        ['{"seq":3,"format":"xml"}\n{}', "INVALID_REQUEST"],
        ['{"seq":4,"format":"json"}\n[', "INVALID_BODY"],
        ['{"seq":5,"dead_letters":"yes"}\n{}', "INVALID_REQUEST"],
        [Buffer.from([0xff, 0xfe, 0x0a]), "INVALID_REQUEST"],
      ];
      for (const [message, code] of cases) {
        stream.sendRaw(message);
        const answer = await stream.next();
        assert.deepEqual([answer.type, answer.code], ["error", code], String(message));
      }
      stream.send(null, '{"v":1}');
      assert.equal((await stream.next()).type, "ack");
      await stream.cut();
    });

    test("rejected rows are kept where the connection asks for it, or the message", async () => {
      const table = `lettered_${implementation}`;
      const kept = async (query: string, header: object): Promise<number | undefined> => {
        const stream = await connect(`?table=${table}${query}`);
        stream.send(header, '{"v":1}\n{"v":"no"}');
        const answer = await stream.next();
        assert.deepEqual([answer.type, answer.accepted, answer.rejected], ["ack", 1, 1]);
        await stream.cut();
        return answer.dead_letters;
      };
      assert.equal(await kept("", {}), undefined);
      assert.equal(await kept("&dead_letters=true", { batch_id: "all" }), 1);
      assert.equal(await kept("&dead_letters=true", { dead_letters: false }), undefined);
      assert.equal(await kept("", { dead_letters: true, batch_id: "this" }), 1);
      const rows = await client.query<{ batch_id: string; raw: string }>(
        `SELECT batch_id, raw FROM miniodb_rejected WHERE table_name = '${table}' ORDER BY batch_id`,
      );
      const raw = '{"v":"no"}';
      assert.deepEqual(rows, [
        { batch_id: "all", raw },
        { batch_id: "this", raw },
      ]);
    });

    test("a query string that cannot be refuses the handshake", async () => {
      const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/stream?durability=never`);
      const [, response] = (await once(socket, "unexpected-response")) as [unknown, { statusCode: number }];
      assert.equal(response.statusCode, 400);
      socket.on("error", () => {});
      socket.terminate();
    });
  });
}

/** uWebSockets.js has no binary for every Node and C library; the fallback runs everywhere. */
function implementations(): string[] {
  try {
    loadUws();
    return ["uws", "node"];
  } catch {
    return ["node"];
  }
}
