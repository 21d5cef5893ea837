import type { HttpRequest, HttpResponse, TemplatedApp, WebSocket } from "uWebSockets.js";
import type { RequestHead, WebSocketConnection, WebSocketListener, WebSocketRoute } from "./http-server.js";
import type { ServerCore } from "./server-core.js";
import { statusLine } from "./status-lines.js";
import { remoteAddressText } from "./uws-exchange.js";

/** What hangs on a native WebSocket: the addon copies these keys onto it. */
interface UserData {
  readonly connection: UwsWebSocket;
}

interface RouteParts {
  readonly app: TemplatedApp;
  readonly core: ServerCore;
  readonly webSockets: Set<UwsWebSocket>;
  readonly path: string;
  readonly route: WebSocketRoute;
}

/** Serves one WebSocket path. A request there that asks for no upgrade goes on to the HTTP handler. */
export function addUwsWebSocket({ app, core, webSockets, path, route }: RouteParts): void {
  app.ws<UserData>(path, {
    maxPayloadLength: route.messageBytesMax,
    // 0 is no bound: `send` below keeps route.bufferedBytesMax, and says why it closes.
    maxBackpressure: 0,
    idleTimeout: route.idleSecondsMax,
    sendPingsAutomatically: true,
    upgrade: (response, request, context) => {
      const listener = core.acceptUpgrade(route, new UpgradeHead(response, request));
      if ("status" in listener) {
        const { status, headers, body } = listener;
        response.writeStatus(statusLine(status));
        for (let index = 0; index < headers.length; index += 2) {
          response.writeHeader(headers[index] as string, headers[index + 1] as string);
        }
        response.end(body);
        return;
      }
      const connection = new UwsWebSocket(core, route, listener);
      const key = request.getHeader("sec-websocket-key");
      const protocol = request.getHeader("sec-websocket-protocol");
      const extensions = request.getHeader("sec-websocket-extensions");
      response.upgrade<UserData>({ connection }, key, protocol, extensions, context);
    },
    open: (socket) => {
      const { connection } = socket.getUserData();
      webSockets.add(connection);
      core.webSockets++;
      connection.opened(socket);
    },
    message: (socket, message, isBinary) => socket.getUserData().connection.received(message, isBinary),
    drain: (socket) => socket.getUserData().connection.drained(),
    close: (socket, code) => {
      const { connection } = socket.getUserData();
      webSockets.delete(connection);
      // The app's filter counted the connection in, and does not hear of it again once it is a WebSocket.
      core.connections--;
      core.webSockets--;
      connection.closed(code);
    },
  });
}

/** The handshake's request; its objects live on the C++ stack while the route decides. */
class UpgradeHead implements RequestHead {
  readonly method = "GET";
  readonly path: string;
  readonly #response: HttpResponse;
  readonly #request: HttpRequest;

  constructor(response: HttpResponse, request: HttpRequest) {
    this.#response = response;
    this.#request = request;
    this.path = request.getUrl();
  }

  get query(): string {
    return this.#request.getQuery() ?? "";
  }

  header(name: string): string {
    return this.#request.getHeader(name);
  }

  remoteAddress(): string {
    return remoteAddressText(this.#response.getRemoteAddressAsText());
  }
}

export class UwsWebSocket implements WebSocketConnection {
  readonly #core: ServerCore;
  readonly #route: WebSocketRoute;
  readonly #listener: WebSocketListener;
  #socket: WebSocket<UserData> | null = null;
  /** The last send left bytes behind, and `drain` has not come since. */
  #isSlow = false;

  constructor(core: ServerCore, route: WebSocketRoute, listener: WebSocketListener) {
    this.#core = core;
    this.#route = route;
    this.#listener = listener;
  }

  get bufferedBytes(): number {
    return this.#socket === null ? 0 : this.#socket.getBufferedAmount();
  }

  send(message: string | Uint8Array): "sent" | "slow" | "closed" {
    const socket = this.#socket;
    if (socket === null) return "closed";
    if (this.#isSlow && socket.getBufferedAmount() + message.length > this.#route.bufferedBytesMax) {
      this.close(1013, "the client reads too slowly");
      return "closed";
    }
    const outcome = socket.send(message, typeof message !== "string");
    if (outcome === 1) return "sent";
    this.#isSlow = true;
    return "slow";
  }

  close(code: number, reason: string): void {
    // Calls the close handler below before it returns.
    this.#socket?.end(code, reason);
  }

  opened(socket: WebSocket<UserData>): void {
    this.#socket = socket;
    this.#core.guard(() => this.#listener.onOpen(this));
  }

  received(message: ArrayBuffer, isBinary: boolean): void {
    this.#core.guard(() => this.#listener.onMessage(new Uint8Array(message), isBinary));
  }

  drained(): void {
    if (!this.#isSlow || this.bufferedBytes > 0) return;
    this.#isSlow = false;
    this.#core.guard(() => this.#listener.onDrained());
  }

  closed(code: number): void {
    this.#socket = null;
    this.#core.guard(() => this.#listener.onClosed(code));
  }
}
