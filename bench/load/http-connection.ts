/**
 * An HTTP/1.1 client that costs as little as possible, because it shares two cores with the server that it measures:
 * requests are ready-made bytes, replies are looked at only for status and length. One request at a time, keep-alive.
 */
import { connect, type Socket } from "node:net";

/** Called once per reply. `body` is a copy, made only for replies that are not 200. */
export type OnReply = (status: number, body: string) => void;

/** All connections read into the same buffer: libuv fills it and the callback empties it in one go. */
const readBuffer = Buffer.allocUnsafe(64 * 1024);
const headEnd = Buffer.from("\r\n\r\n");
const noBytes = Buffer.alloc(0);
const lengthPattern = /\r\ncontent-length: *(\d+)/i;

export class HttpConnection {
  readonly #socket: Socket;
  #onReply: OnReply = () => {};
  /** What came of a reply that is not whole yet. */
  #partial: Buffer = noBytes;
  #isClosed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** `onClose` is told once when the connection ends before `close` was called. */
  static open(url: URL, onClose: (reason: string) => void): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const onread = {
        buffer: readBuffer,
        callback: (bytes: number) => {
          connection.#read(readBuffer.subarray(0, bytes));
          return true;
        },
      };
      const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true, onread });
      const connection = new HttpConnection(socket);
      socket.once("connect", () => resolve(connection));
      socket.once("error", (error) => {
        reject(error);
        connection.#end(error.message, onClose);
      });
      socket.once("close", () => connection.#end("the server closed the connection", onClose));
    });
  }

  /** The next reply belongs to this request. */
  send(request: Buffer, onReply: OnReply): void {
    this.#onReply = onReply;
    this.#socket.write(request);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #end(reason: string, onClose: (reason: string) => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    onClose(reason);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    const headBytes = bytes.indexOf(headEnd);
    if (headBytes === -1) {
      this.#partial = Buffer.from(bytes);
      return;
    }
    const head = bytes.toString("latin1", 0, headBytes);
    const bodyStart = headBytes + headEnd.length;
    const bodyEnd = bodyStart + Number(lengthPattern.exec(head)?.[1] ?? 0);
    if (bytes.length < bodyEnd) {
      this.#partial = Buffer.from(bytes);
      return;
    }
    this.#partial = noBytes;
    const status = Number(head.slice(9, 12));
    this.#onReply(status, status === 200 ? "" : bytes.toString("utf8", bodyStart, bodyEnd));
  }
}

/** The bytes of one request; `line` is its method and path. */
export function httpRequest(url: URL, line: string, contentType: string, body: Buffer): Buffer {
  const head = `${line} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}
