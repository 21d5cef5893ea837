/** A client of /v1/subscribe for tests: messages are read in turn, rows gather with their token. */
import { once } from "node:events";
import { WebSocket } from "ws";

export interface LiveReply {
  readonly type: "welcome" | "subscribed" | "rows" | "progress" | "unsubscribed" | "error";
  readonly id?: string | null;
  readonly table?: string;
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly token?: string;
  readonly code?: string;
  readonly message?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Subscription {
  readonly id?: string;
  readonly table: string;
  readonly filter?: string;
  readonly from?: string;
  readonly credits?: number;
}

export class LiveClient {
  readonly #socket: WebSocket;
  readonly #replies: LiveReply[] = [];
  readonly #waiting: ((reply: LiveReply) => void)[] = [];
  #onReply: ((reply: LiveReply) => void) | null = null;

  private constructor(url: string) {
    this.#socket = new WebSocket(url.replace("http", "ws"));
    this.#socket.on("message", (data: Buffer) => this.#take(JSON.parse(data.toString()) as LiveReply));
    // A close follows.
    this.#socket.on("error", () => {});
  }

  /** Connects; the welcome has been read. `onReply` gets every message, instead of `next`. */
  static async open(
    server: string,
    query = "",
    onReply: ((reply: LiveReply) => void) | null = null,
  ): Promise<LiveClient> {
    const client = new LiveClient(`${server}/v1/subscribe${query}`);
    const [welcome] = await Promise.all([client.next(), once(client.#socket, "open")]);
    if (welcome.type !== "welcome") throw new Error(`no welcome: ${JSON.stringify(welcome)}`);
    client.#onReply = onReply;
    for (const reply of client.#replies.splice(0)) client.#take(reply);
    return client;
  }

  send(message: object | string): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** The reply to a subscribe: `subscribed` or `error`. */
  async subscribe(subscription: Subscription): Promise<LiveReply> {
    this.send({ type: "subscribe", ...subscription });
    return this.next();
  }

  next(): Promise<LiveReply> {
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Messages until there are `count` rows, of one subscription. */
  async rows(count: number): Promise<{ rows: Readonly<Record<string, unknown>>[]; token: string }> {
    const rows: Readonly<Record<string, unknown>>[] = [];
    let token = "";
    while (rows.length < count) {
      const reply = await this.next();
      if (reply.type !== "rows") throw new Error(`rows were due, but ${JSON.stringify(reply)} came`);
      rows.push(...(reply.rows ?? []));
      token = reply.token ?? "";
    }
    return { rows, token };
  }

  /** Stops reading from the socket, as a client that hangs. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Resolves with the close code, whoever closed. */
  async closed(): Promise<number> {
    if (this.#socket.readyState === WebSocket.CLOSED) return 0;
    const [code] = (await once(this.#socket, "close")) as [number];
    return code;
  }

  async cut(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closing = once(this.#socket, "close");
    this.#socket.terminate();
    await closing;
  }

  #take(reply: LiveReply): void {
    if (this.#onReply !== null) {
      this.#onReply(reply);
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#replies.push(reply);
    else waiting(reply);
  }
}
