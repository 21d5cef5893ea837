import type { HttpExchange } from "../../sockets/http-server.js";
import type { Metrics } from "../../telemetry/metrics.js";
import { sendReply } from "./send-reply.js";
import { thrownReply } from "./write-reply.js";

/** What health says beside healthy or not; values are short texts. */
export interface HealthReport {
  readonly isHealthy: boolean;
  readonly details: Readonly<Record<string, string>>;
}

export interface StatusRoutesOptions {
  readonly version: string;
  readonly metrics: Metrics;
  readonly health: () => HealthReport;
  readonly onInternal: (error: unknown) => void;
}

/** GET /v1/health and GET /metrics. */
export class StatusRoutes {
  readonly #options: StatusRoutesOptions;

  constructor(options: StatusRoutesOptions) {
    this.#options = options;
  }

  health(exchange: HttpExchange): null {
    const { isHealthy, details } = this.#options.health();
    const status = isHealthy ? "healthy" : "unhealthy";
    const body = { status, timestamp: new Date().toISOString(), version: this.#options.version, details };
    sendReply(exchange, { status: isHealthy ? 200 : 503, body: JSON.stringify(body), retryAfterSeconds: null });
    return null;
  }

  metrics(exchange: HttpExchange): { onChunk: () => void; onAborted: () => void } {
    const { metrics, onInternal } = this.#options;
    metrics
      .text()
      .then((text) => exchange.reply(200, ["content-type", metrics.contentType], text))
      .catch((error: unknown) => sendReply(exchange, thrownReply(error, onInternal)));
    return { onChunk: () => {}, onAborted: () => {} };
  }
}
