import { connect, type Socket } from "node:net";
import { once } from "node:events";

export interface RawReply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** No wait of a test is longer. */
const waitMsMax = 8_000;

/** A TCP client that sends what it is told, byte for byte, and takes replies apart. */
export class RawClient {
  readonly socket: Socket;
  /** Received and not yet taken. */
  #received: Buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #isClosed = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.#isClosed = true;
        this.#wake?.();
      });
    }
    // Resets are what some tests are about; `close` follows.
    socket.on("error", () => undefined);
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** A whole request with a content-length. */
  request(method: string, path: string, body: string | Uint8Array = "", headers: readonly string[] = []): void {
    const length = Buffer.byteLength(body);
    const lines = [`${method} ${path} HTTP/1.1`, "host: test", ...headers];
    if (length > 0) lines.push(`content-length: ${length}`);
    this.send(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), Buffer.from(body)]));
  }

  /** Reads the next reply; throws when the connection ends before it is whole. `isHead`: it has no body. */
  async reply(isHead = false): Promise<RawReply> {
    const head = (await this.#takeUntil("\r\n\r\n")).toString("latin1").split("\r\n");
    const status = Number((head[0] ?? "").split(" ")[1]);
    const headers = new Map(
      head.slice(1).map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    return { status, headers, body: await this.#takeBody(status, headers, isHead) };
  }

  /** Everything that comes until the other side closes. */
  async rest(): Promise<Buffer> {
    await this.#until(() => this.#isClosed);
    this.#gather();
    return this.#take(this.#received.length);
  }

  /** Resolves when the other side has closed; false when it has not within `timeoutMs`. */
  async closes(timeoutMs: number = waitMsMax): Promise<boolean> {
    try {
      await this.#until(() => this.#isClosed, timeoutMs);
      return true;
    } catch {
      return false;
    }
  }

  /** Our half is closed: FIN. */
  halfClose(): void {
    this.socket.end();
  }

  /** The connection is cut: RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  async #takeBody(status: number, headers: ReadonlyMap<string, string>, isHead: boolean): Promise<Buffer> {
    if (isHead || status === 204 || status === 304 || status < 200) return Buffer.alloc(0);
    if (headers.get("transfer-encoding") !== "chunked") {
      const length = headers.get("content-length");
      return length === undefined ? this.rest() : this.#takeBytes(Number(length));
    }
    const parts: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt((await this.#takeUntil("\r\n")).toString("latin1"), 16);
      const part = await this.#takeBytes(size + 2);
      if (size === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, size));
    }
  }

  async #takeUntil(mark: string): Promise<Buffer> {
    let at = this.#received.indexOf(mark);
    await this.#until(() => {
      if (at >= 0) return true;
      this.#gather();
      at = this.#received.indexOf(mark);
      return at >= 0 || this.#isClosed;
    });
    if (at < 0) throw new Error(`closed after ${JSON.stringify(this.#received.toString("latin1").slice(0, 200))}`);
    const taken = this.#take(at);
    this.#take(mark.length);
    return taken;
  }

  async #takeBytes(count: number): Promise<Buffer> {
    if (this.#received.length >= count) return this.#take(count);
    const have = (): number => this.#received.length + this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    await this.#until(() => have() >= count || this.#isClosed);
    this.#gather();
    if (this.#received.length < count) throw new Error(`closed after ${this.#received.length} of ${count} bytes`);
    return this.#take(count);
  }

  #gather(): void {
    if (this.#chunks.length === 0) return;
    this.#received = Buffer.concat([this.#received, ...this.#chunks]);
    this.#chunks = [];
  }

  #take(count: number): Buffer {
    const taken = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return taken;
  }

  async #until(isDone: () => boolean, timeoutMs: number = waitMsMax): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!isDone()) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new Error("the test waited in vain");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
