import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer, type RawData, type WebSocket } from "ws";
import type {
  RequestHead,
  UpgradeRefusal,
  WebSocketConnection,
  WebSocketListener,
  WebSocketRoute,
} from "./http-server.js";
import { addressText, plainBytes } from "./node-exchange.js";
import type { ServerCore } from "./server-core.js";
import { statusLine } from "./status-lines.js";

/** How long a connection that was cut may take to say that it is closed: a turn or two of the event loop. */
const cutMsMax = 100;

/** The WebSocket paths of the fallback server. */
export class NodeWebSockets {
  readonly #core: ServerCore;
  readonly #routes: ReadonlyMap<string, { readonly route: WebSocketRoute; readonly server: WebSocketServer }>;
  readonly #connections = new Set<NodeWebSocket>();
  readonly #timer: NodeJS.Timeout;

  constructor(core: ServerCore, routes: Readonly<Record<string, WebSocketRoute>>) {
    this.#core = core;
    this.#routes = new Map(
      Object.entries(routes).map(([path, route]) => {
        const options = { noServer: true, clientTracking: false, perMessageDeflate: false };
        return [path, { route, server: new WebSocketServer({ ...options, maxPayload: route.messageBytesMax }) }];
      }),
    );
    const idleSeconds = Object.values(routes).map((route) => route.idleSecondsMax);
    const intervalMs = (Math.min(60, ...idleSeconds) * 1000) / 4;
    this.#timer = setInterval(() => this.#pingAll(), intervalMs).unref();
  }

  /** Does the handshake if `request` is for one of the paths; false: it is not for us, and nothing was done. */
  take(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const url = request.url ?? "/";
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    const found = this.#routes.get(path);
    if (found === undefined || request.headers.upgrade?.toLowerCase() !== "websocket") return false;
    const { route, server } = found;
    socket.on("error", () => socket.destroy());
    const listener = this.#core.acceptUpgrade(route, upgradeHead(request, path, url.slice(path.length + 1)));
    if ("status" in listener) {
      refuse(socket, listener);
      return true;
    }
    server.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new NodeWebSocket({ core: this.#core, route, listener, webSocket });
      this.#connections.add(connection);
      this.#core.webSockets++;
      webSocket.on("close", () => {
        this.#connections.delete(connection);
        this.#core.webSockets--;
      });
      connection.open();
    });
    return true;
  }

  /** Sends close frames to all, waits for the answers, and cuts who has not answered in `timeoutMs`. */
  async closeAll(timeoutMs: number): Promise<void> {
    clearInterval(this.#timer);
    for (const connection of this.#connections) connection.close(1001, "the server is shutting down");
    await this.#whenGone(timeoutMs);
    for (const connection of this.#connections) connection.cut();
    await this.#whenGone(cutMsMax);
  }

  async #whenGone(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (this.#connections.size > 0 && performance.now() < deadlineMs) await sleep(5);
  }

  #pingAll(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.checkLife(nowMs);
  }
}

function upgradeHead(request: IncomingMessage, path: string, query: string): RequestHead {
  return {
    method: "GET",
    path,
    query,
    header: (name) => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(", ") : (value ?? "");
    },
    remoteAddress: () => addressText(request.socket.remoteAddress),
  };
}

function refuse(socket: Duplex, { status, headers, body }: UpgradeRefusal): void {
  const bytes = Buffer.from(body);
  const lines = [`HTTP/1.1 ${statusLine(status)}`, `content-length: ${bytes.length}`, "connection: close"];
  for (let index = 0; index < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
  socket.end(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), bytes]));
}

interface NodeWebSocketParts {
  readonly core: ServerCore;
  readonly route: WebSocketRoute;
  readonly listener: WebSocketListener;
  readonly webSocket: WebSocket;
}

class NodeWebSocket implements WebSocketConnection {
  readonly #parts: NodeWebSocketParts;
  #isSlow = false;
  /** The code that this side closed with; what the client still sends after that is dropped. */
  #closeCode: number | null = null;
  #seenMs = performance.now();

  constructor(parts: NodeWebSocketParts) {
    this.#parts = parts;
  }

  get bufferedBytes(): number {
    return this.#parts.webSocket.bufferedAmount;
  }

  open(): void {
    const { core, listener, webSocket } = this.#parts;
    webSocket.on("message", (message, isBinary) => {
      this.#seenMs = performance.now();
      if (this.#closeCode === null) core.guard(() => listener.onMessage(bytesOf(message), isBinary));
    });
    webSocket.on("pong", () => (this.#seenMs = performance.now()));
    webSocket.on("ping", () => (this.#seenMs = performance.now()));
    // A broken frame or a reset; the close event follows.
    webSocket.on("error", () => undefined);
    webSocket.on("close", (code) => core.guard(() => listener.onClosed(this.#closeCode ?? code)));
    core.guard(() => listener.onOpen(this));
  }

  send(message: string | Uint8Array): "sent" | "slow" | "closed" {
    const { webSocket, route } = this.#parts;
    if (this.#closeCode !== null || webSocket.readyState !== webSocket.OPEN) return "closed";
    if (this.#isSlow && this.bufferedBytes + message.length > route.bufferedBytesMax) {
      this.close(1013, "the client reads too slowly");
      return "closed";
    }
    const isBinary = typeof message !== "string";
    webSocket.send(isBinary ? Buffer.from(message) : message, { binary: isBinary }, () => this.#flushed());
    if (this.bufferedBytes === 0) return "sent";
    this.#isSlow = true;
    return "slow";
  }

  close(code: number, reason: string): void {
    if (this.#closeCode !== null) return;
    this.#closeCode = code;
    this.#parts.webSocket.close(code, reason);
  }

  cut(): void {
    this.#parts.webSocket.terminate();
  }

  checkLife(nowMs: number): void {
    const { route, webSocket } = this.#parts;
    const silentMs = nowMs - this.#seenMs;
    if (silentMs > route.idleSecondsMax * 1000) webSocket.terminate();
    else if (silentMs > route.idleSecondsMax * 500) webSocket.ping();
  }

  #flushed(): void {
    if (!this.#isSlow || this.bufferedBytes > 0) return;
    this.#isSlow = false;
    if (this.#closeCode === null) this.#parts.core.guard(() => this.#parts.listener.onDrained());
  }
}

/** ws hands over one Buffer under its default binaryType. */
function bytesOf(message: RawData): Uint8Array {
  if (message instanceof ArrayBuffer) return new Uint8Array(message);
  return plainBytes(Array.isArray(message) ? Buffer.concat(message) : message);
}
