import type { LoadJob } from "./job.js";
import type { Channel } from "./load-loop.js";

export async function openWebSocketChannels(
  job: LoadJob,
  bodies: readonly Buffer[],
  onBroken: (reason: string) => void,
): Promise<Channel[]> {
  throw new Error(`WebSocket frames are not defined yet ${job.table} ${bodies.length} ${onBroken.name}`);
}
