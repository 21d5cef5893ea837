/**
 * The fixed bounds, in one place: what they bound, in which unit, and why this number. Bounds that an operator may
 * want to move are options in config.ts instead.
 */
export const limits = {
  /** Columns of one table. */
  columnsMax: 2_000,
  /** Row errors listed in one reply; all are counted. */
  rowErrorsMax: 100,
  /** Nesting of a JSON or MessagePack value. */
  valueDepthMax: 64,
  /** One text value. */
  valueBytesMax: 16 * 1024 * 1024,
  /** A body in one chunk up to this goes through a ring, of which it takes a quarter at the most; others go into slabs. */
  inlineBodyBytesMax: 1024 * 1024,
  /** Rows of one body, which may say next to nothing of each: a column that is all null costs a bit or nothing per row. */
  bodyRowsMax: 16 * 1024 * 1024,
  /** Columns of one batch in memory, where a value costs its column's width in all the other rows too. */
  batchBytesMax: 512 * 1024 * 1024,
  /** Text that one body may make by naming it many times: dictionaries, field names of nested values. */
  decodedBytesMax: 512 * 1024 * 1024,
  /** Idempotency-Key or batch_id. */
  batchIdBytesMax: 255,
  /** Characters of row errors in the accounts of remembered batches, in one ingest worker: the oldest lose theirs. */
  batchErrorsMax: 64 * 1024 * 1024,
  /** An id under the default rule. */
  idBytesMax: 255,
  /** What a table's own id rule may say: it runs for every row, and is kept in every version of the metadata. */
  idLengthMax: 1_024,
  idPatternCharactersMax: 512,
  idAllowedCharactersMax: 1_024,
  idPrefixCharactersMax: 64,
  /** Free properties of a table, and the length of a key or a value. */
  tablePropertiesMax: 100,
  tablePropertyCharactersMax: 1_024,
  /** Columns of a sort order. */
  sortColumnsMax: 16,
  /** Changes of one request to a table's columns, and what a comment says of one. */
  schemaOperationsMax: 100,
  columnCommentCharactersMax: 1_024,
  /** Tags of one table: each keeps a snapshot, and the files of it. */
  tagsMax: 100,
  /** Backups that name snapshots of one table: each such snapshot costs every commit about 700 bytes of metadata. */
  backupTagsMax: 400,
  /** How long a backup waits for the flushes that run to end: no flush begins until then. */
  backupGatherMsMax: 30_000,
  /** Backups whose manifests a list reads: the newest. */
  backupsListedMax: 1_000,
  /** Days that rows may be kept for, and seconds between two flushes: a hundred years, and one. */
  retentionDaysMax: 36_500,
  flushSecondsMax: 31_536_000,
  /** Entries of one manifest: about 1 MiB with ten columns of statistics. */
  manifestEntriesMax: 4_000,
  /** Manifests smaller than this are merged, once there are `manifestsMergeMin` of them. */
  manifestMergeBytes: 512 * 1024,
  manifestsMergeMin: 8,
  /** Parsed manifest entries that one worker keeps: about 1.5 KiB each with ten columns. */
  manifestCacheEntriesMax: 50_000,
  /** Entries of `metadata-log`. */
  metadataLogMax: 100,
  /** Snapshots of one table, however young: each costs every commit about 600 bytes of metadata. */
  snapshotsMax: 100,
  /** Rounds of one commit against other writers, and of one unclear put. */
  commitAttemptsMax: 100,
  putAttemptsMax: 8,
  /** Text of one statement: its syntax tree is about 200 times as long. */
  sqlBytesMax: 256 * 1024,
  /** Nesting of expressions: at 200 DuckDB plans for half a second, with the cube of it beyond. */
  expressionDepthMax: 200,
  /** Nesting of what DuckDB binds twice in expressions: 12 take about 0.1 s, and each more doubles it. */
  subqueryDepthMax: 12,
  /** Names of one `a.b.c`. */
  columnPathMax: 64,
  /** `/*` in a statement: DuckDB's time for nested comments goes with the square, 0.2 s here. */
  commentsMax: 2_000,
  /** Nesting of PIVOT and UNPIVOT: three take milliseconds, sixteen for ever. */
  pivotDepthMax: 3,
  /** Columns that one SELECT lists, stars apart: 2,000 take 0.2 s to plan, 10,000 more than 15 s. */
  selectListMax: 4_000,
  /** A text that `repeat`, `lpad` and the like make: 2,048 of them are a vector, 256 MiB that no memory limit counts. */
  grownTextBytesMax: 128 * 1024,
  /** A list that `range`, `generate_series` or `list_resize` make in one row: a vector of them is 1 GiB of integers. */
  grownListMax: 65_536,
  /** What `replace` puts in the place of so much text, as a ratio: with it a megabyte can become a gigabyte, no more. */
  replacementRatioMax: 1_024,
  /** Product of the lengths of two texts whose edit distance is asked for: 1 ms a row, 2 s a vector. */
  comparedCharactersMax: 256 * 1024,
  /** The format of `printf` and `format`: it may name a value as often as it likes. */
  formatBytesMax: 4 * 1024,
  /** Size of a value that is made for each element of a list, or of a format of `strftime`: a literal. */
  nestedGrowthMax: 1_000,
  /** Places where a pattern of LIKE with `_` can begin anew: time goes with this power of the text's length. */
  likeWildcardsMax: 3,
  /** Values that `approx_top_k` counts: it sorts them anew as rows come, 100,000 hold a thread for seconds. */
  topValuesMax: 1_000,
  /** Bits of one group's `bitstring_agg`: no memory limit counts them. */
  aggregateBitsMax: 65_536,
  /** Parameters of one statement: each costs a bound value per run. */
  parametersMax: 1_000,
  /** Items of a list that is one parameter: each is made a value of DuckDB's, some 5 µs. */
  parameterItemsMax: 10_000,
  /** Statements whose parse main keeps, and the length up to which it keeps them. */
  parsedStatementsMax: 1_000,
  parsedStatementBytesMax: 16 * 1024,
  /**
   * What a query reads, as it lies on disk, that may run on one thread where others run beside it; a file counts as the
   * second number at least, as opening one costs 0.35 ms. Not measured at its edge: 2 MB, of
   * which a query reads three columns, take 2.5 ms beside its planning.
   */
  oneThreadScanBytesMax: 8 * 1024 * 1024,
  oneThreadFileBytesMin: 256 * 1024,
  /** The part of DuckDB's memory that such queries have together: an eighth, up to this, and none where it is less than that. */
  oneThreadMemoryBytesMax: 128 * 1024 * 1024,
  oneThreadMemoryBytesMin: 16 * 1024 * 1024,
  /** As long as it is younger than this, it counts among those that run at once: one more than there are threads. */
  oneThreadYoungMs: 100,
  /** How long one of them may run while processors have nothing to do, before it begins anew with all threads. */
  oneThreadMsMax: 200,
  /** Rows of a result that is materialised in DuckDB, outside of its memory limit; larger ones are streamed. */
  directRowsMax: 4_096,
  /**
   * What DuckDB makes of a streamed result ahead of its reader, in each query: a row group of five columns. With its
   * default, 1 MB, a reader as fast as DuckDB waits for it twice as long.
   */
  streamBufferBytes: 16 * 1024 * 1024,
  /** A result is one piece of memory up to here, also one that DuckDB wrote to a file. */
  resultBytesWholeMax: 1024 * 1024,
  /**
   * A larger one that is built from columns stays in memory, until it is sent, while its worker has slabs for it that no
   * other result has; else it goes on in a file.
   */
  resultSlabBytes: 2 * 1024 * 1024,
  resultSlabs: 64,
  /** Text of a live query's filter: it runs once for each delta. */
  liveFilterBytesMax: 16 * 1024,
  /** Rows of one delta of a table with live queries: one row group, which is read in the order that it was written in. */
  liveDeltaRowsMax: 65_536,
  /** Deltas of one table: each is a file, and an entry in memory. */
  liveDeltasMax: 8_192,
  /** Longest run of a filter over one delta. */
  liveReadMsMax: 10_000,
  /** Deltas that are read at once: they share the query workers with the queries. */
  liveReadsMax: 2,
  /** Read deltas that are kept for other subscribers with the same filter. */
  livePageCacheBytes: 16 * 1024 * 1024,
  /** Results with a result cache entry: larger ones are made anew. */
  cachedResultBytesMax: 1024 * 1024,
  /**
   * Rows of a result that are kept for its pages, where they have no order that comes back by itself: this many pages,
   * and at least so many rows. A file with more bytes is not kept: the first page then has no cursor.
   */
  keptPages: 100,
  keptRowsMin: 10_000,
  keptBytesMax: 256 * 1024 * 1024,
  /** Name of a column's type that is written back into SQL: nested types and enums have long ones. */
  keptTypeCharactersMax: 16 * 1024,
  /** Earlier snapshots of tables that main keeps, and the files in them: about 1 KiB each with ten columns. */
  pastSnapshotsMax: 32,
  pastSnapshotFilesMax: 20_000,
  /** Longest search for the rows of a delete. */
  deleteMsMax: 60 * 60 * 1000,
  /** How often a delete looks for its rows anew, because a merge or another node moved their files. */
  deleteAttemptsMax: 10,
  /** Compactions that wait for their turn, of all tables. */
  compactionsWaitingMax: 100,
  /** Compactions of one table that are over and still listed. */
  compactionsKeptMax: 50,
  /** Ids of one request that deletes by id: with 255 bytes each they fit a statement. */
  deleteIdsMax: 1_000,
  /** Rejected rows of one batch that are kept as dead letters, the bytes of one of them as sent, and of all as JSON. */
  deadLettersMax: 1_000,
  deadLetterRawBytesMax: 4 * 1024,
  deadLettersBytesMax: 1024 * 1024,
  /** Rows of one soft delete, and their bytes as JSON: main reads them, some 20 ms a MiB. A restore reads older ones too. */
  softDeleteRowsMax: 1_000,
  softDeleteBytesMax: 4 * 1024 * 1024,
  restoredBytesMax: 16 * 1024 * 1024,
  /** Ids of one batch of deletes whose rows are counted: main holds them as texts, a few ms of work. */
  deleteBatchIdsMax: 10_000,
  /** Body of a batch of deletes: it is decoded in one go, other requests of the worker wait meanwhile. */
  deleteBodyBytesMax: 8 * 1024 * 1024,
  /** One WAL record: it is read and written in one piece, and its string offsets are 32 bits. */
  walRecordBytesMax: 1024 * 1024 * 1024,
  /** A commit group: more is left for the next one, so that the first of a group does not wait for ever. */
  walGroupBytesMax: 16 * 1024 * 1024,
  walGroupRecordsMax: 8_192,
  /** Trimmed segments that are kept to be written again. */
  walSparesMax: 2,
} as const;
