import type { Config } from "../../shared/config.js";
import type { Logger } from "../../shared/log.js";
import type { TableRegistry } from "../catalog/table-registry.js";
import type { PersistPools } from "../lifecycle/persist-pool.js";
import type { WalThread } from "../lifecycle/wal-thread.js";
import { LogHold } from "./log-hold.js";
import { MirrorLoop } from "./mirror-loop.js";

export interface SecondPoolParts {
  readonly config: Config;
  readonly pools: Pick<PersistPools, "mirror">;
  readonly wal: Pick<WalThread, "load" | "post">;
  readonly log: Logger;
  /** Uuid of this node's log. */
  readonly stream: string;
}

/** What main does about the second pool. Without one there is a log that waits for nobody, and no mirror. */
export interface SecondPool {
  readonly mirror: MirrorLoop | null;
  readonly logHold: LogHold;
}

/** Copies begin with the first tick. */
export function openSecondPool(parts: SecondPoolParts, registry: TableRegistry): SecondPool {
  const { config, pools, wal, log, stream } = parts;
  const logHold = new LogHold({
    isWanted: pools.mirror !== null && config.mirror.holdLog,
    walBytesMax: config.wal.bytesMax,
    walBytes: () => wal.load?.bytes ?? 0,
    letGo: ({ identity }, sequence) => wal.post({ kind: "flushed", positions: [{ uuid: identity.uuid, sequence }] }),
    onReleased: () => log.warn("the log grew large and waits no longer for the second pool"),
  });
  if (pools.mirror === null) return { mirror: null, logHold };
  const mirror = new MirrorLoop({
    registry,
    pool: pools.mirror,
    intervalMs: config.mirror.intervalMs,
    garbage: config.garbage,
    onMirrored: (entry, { positions }) => {
      if (entry !== undefined) logHold.mirrored(entry, positions[stream] ?? 0);
    },
    log,
  });
  return { mirror, logHold };
}
