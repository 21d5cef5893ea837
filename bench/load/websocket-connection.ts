/**
 * A WebSocket client (RFC 6455) that costs as little as possible: messages go out as ready-made bytes with the masking key
 * zero, which the protocol allows and which spares a pass over the payload; of the replies only whole text frames of
 * an unfragmented stream are understood, which is what the server sends.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** Server frame: 1 byte FIN and opcode, 1 byte length or 126 (u16 follows) or 127 (u64 follows), payload unmasked. */
const opcodes = { text: 1, close: 8, ping: 9, pong: 10 } as const;
const maskBit = 0x80;
const finBit = 0x80;
const binaryOpcode = 2;
const readBuffer = Buffer.allocUnsafe(64 * 1024);
const headEnd = Buffer.from("\r\n\r\n");
const noBytes = Buffer.alloc(0);

export interface WebSocketEvents {
  readonly onText: (text: string) => void;
  /** Once, when the connection ends for whatever reason. */
  readonly onEnd: (reason: string) => void;
}

export class WebSocketConnection {
  readonly #socket: Socket;
  readonly #events: WebSocketEvents;
  #partial: Buffer = noBytes;
  #isOpen = false;
  #opened: () => void = () => {};

  private constructor(socket: Socket, events: WebSocketEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  /** `path` with its query string. Rejects when the server does not switch protocols. */
  static open(url: URL, path: string, events: WebSocketEvents): Promise<WebSocketConnection> {
    return new Promise((resolve, reject) => {
      const onread = {
        buffer: readBuffer,
        callback: (bytes: number) => {
          connection.#read(readBuffer.subarray(0, bytes));
          return true;
        },
      };
      const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true, onread });
      const end = (reason: string) => {
        reject(new Error(reason));
        events.onEnd(reason);
      };
      const connection = new WebSocketConnection(socket, { ...events, onEnd: end });
      connection.#opened = () => resolve(connection);
      socket.once("error", (error) => end(error.message));
      socket.once("close", () => end("the server closed the connection"));
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
      );
    });
  }

  /** One binary message of two parts; neither is copied. */
  send(head: Buffer, body: Buffer): void {
    const frame = frameHead(head.length + body.length);
    this.#socket.cork();
    this.#socket.write(Buffer.concat([frame, head]));
    this.#socket.write(body);
    this.#socket.uncork();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    if (!this.#isOpen) {
      const end = bytes.indexOf(headEnd);
      if (end !== -1) this.#finishHandshake(bytes.toString("latin1", 0, end));
      bytes = end === -1 ? bytes : bytes.subarray(end + headEnd.length);
    }
    if (this.#isOpen) bytes = this.#readFrames(bytes);
    this.#partial = bytes.length === 0 ? noBytes : Buffer.from(bytes);
  }

  #finishHandshake(head: string): void {
    this.#isOpen = true;
    if (head.startsWith("HTTP/1.1 101")) this.#opened();
    else this.#events.onEnd(`the server did not switch protocols: ${head.split("\r\n")[0]}`);
  }

  /** Returns what is left: the beginning of a frame that is not whole. */
  #readFrames(bytes: Buffer): Buffer {
    let at = 0;
    while (bytes.length - at >= 2) {
      const opcode = (bytes[at] as number) & 0x0f;
      const short = (bytes[at + 1] as number) & 0x7f;
      const headBytes = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (bytes.length - at < headBytes) break;
      const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? bytes.readUInt32BE(at + 6) : short;
      const end = at + headBytes + length;
      if (bytes.length < end) break;
      if (opcode === opcodes.text) this.#events.onText(bytes.toString("utf8", at + headBytes, end));
      if (opcode === opcodes.close) {
        this.#events.onEnd(`the server closed: ${bytes.toString("utf8", at + headBytes + 2, end)}`);
      }
      if (opcode === opcodes.ping) this.#socket.write(Buffer.from([finBit | opcodes.pong, maskBit, 0, 0, 0, 0]));
      at = end;
    }
    return bytes.subarray(at);
  }
}

/** FIN and binary, the length in its shortest form, and a masking key of zero. */
function frameHead(payloadBytes: number): Buffer {
  const opening = finBit | binaryOpcode;
  if (payloadBytes < 126) return Buffer.from([opening, maskBit | payloadBytes, 0, 0, 0, 0]);
  const isShort = payloadBytes < 65_536;
  const head = Buffer.alloc(isShort ? 8 : 14);
  head[0] = opening;
  head[1] = maskBit | (isShort ? 126 : 127);
  if (isShort) head.writeUInt16BE(payloadBytes, 2);
  else head.writeUInt32BE(payloadBytes, 6);
  return head;
}
