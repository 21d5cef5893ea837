/** The entry file of each kind of worker thread. */
function entry(name: string): string {
  return new URL(`../../workers/${name}.js`, import.meta.url).href;
}

export const workerUrls = {
  ingest: entry("ingest-worker"),
  wal: entry("wal-worker"),
  persist: entry("persist-worker"),
  query: entry("query-worker"),
} as const;
