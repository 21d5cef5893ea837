/** A reader beside writers, for tests of what nobody may ever see. */
import assert from "node:assert/strict";
import type { HttpClient } from "./http-client.js";

/** Counts the rows again and again: each time so many. `end` rejects when a count was another, or when there was none. */
export function watchCount(client: HttpClient, table: string, expected: number): { readonly end: () => Promise<void> } {
  let isOver = false;
  const look = async (): Promise<number> => {
    let looks = 0;
    for (; !isOver; looks++) assert.equal(await client.count(table), expected);
    return looks;
  };
  const looking = look();
  // It is told in `end`; until then nobody waits for it.
  looking.catch(() => {});
  return {
    end: async () => {
      isOver = true;
      assert.ok((await looking) > 0);
    },
  };
}
