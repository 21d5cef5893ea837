import type { Disk } from "../../shared/disk/disk.js";
import { MiniodbError } from "../../shared/errors.js";
import { failpoint } from "../../shared/failpoints.js";
import {
  parseDigestEntries,
  parseDigestHeader,
  type DigestEntry,
  type DigestHeader,
} from "../../shared/formats/batch-digest-v1.js";
import { parseSchemaRecord } from "../../shared/formats/wal-record-v1-parse.js";
import { hasSequences, recordKinds, type RecordHeader } from "../../shared/formats/wal-record-v1.js";
import { parseSegmentHeader, segmentHeaderBytes, type SegmentHeader } from "../../shared/formats/wal-segment-v1.js";
import type { TableSchema } from "../../shared/schema/table-schema.js";
import { SegmentReader, type Damage } from "./segment-reader.js";
import { listDigests, listSegments, readFile, type NumberedFile } from "./wal-folder.js";

/** A record of the log whose rows have sequences; one of operations as a whole, see rowsRecordsOf. It lies at [at, at + length) of `bytes`, which is valid during the call only. */
export interface ReplayedRows {
  readonly tableUuid: string;
  readonly firstSequence: number;
  /** May be 0: a record that only carries batch entries. */
  readonly rowCount: number;
  readonly header: RecordHeader;
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly length: number;
  readonly segment: number;
}

export interface ReplayedSchema {
  readonly tableUuid: string;
  readonly schema: TableSchema;
  readonly header: RecordHeader;
  /** Of the first row that was accepted under it. */
  readonly firstSequence: number;
  readonly segment: number;
}

/**
 * Called for every undamaged record in the order of the log. The same record may come twice, and records that were
 * copied forward come after later ones: SequenceOrder puts them right. A table's schema comes before its rows; of
 * several, the highest version counts.
 */
export interface ReplayVisitor {
  rows(record: ReplayedRows): void;
  schema(record: ReplayedSchema): void;
}

export interface ReplayedSegment extends NumberedFile {
  /** Size of the file. */
  readonly bytes: number;
  /** Where its records end. */
  readonly end: number;
  readonly header: SegmentHeader | undefined;
}

export interface ReplayReport {
  readonly segments: readonly ReplayedSegment[];
  readonly damage: readonly Damage[];
}

/**
 * Reads all segments of the folder. Changes nothing: the WAL thread, which reads them first, copies damaged bytes to
 * `quarantine/`. Throws INTERNAL for a segment of another stream, or of a newer version.
 */
export function replaySegments(disk: Disk, folder: string, visitor: ReplayVisitor): ReplayReport {
  const files = listSegments(disk, folder);
  const headers = files.map((file) => readSegmentHeader(disk, file));
  const segments: ReplayedSegment[] = [];
  const damage: Damage[] = [];
  const stream = headers.find((header) => header !== undefined)?.stream;
  for (const [index, file] of files.entries()) {
    const header = headers[index];
    if (header !== undefined && header.stream !== stream) {
      throw new MiniodbError("INTERNAL", `${file.path} belongs to stream ${header.stream}, the others to ${stream}`);
    }
    // The next segment may be another one than the next in number: numbers of failed attempts stay unused.
    const next = headers[index + 1];
    const knownEnd = next?.previousNumber === file.number ? next.previousEnd : undefined;
    const reader = new SegmentReader(disk, file, { knownEnd });
    try {
      visitSegment(reader, visitor);
    } finally {
      reader.close();
    }
    damage.push(...reader.damage);
    segments.push({ ...file, bytes: reader.bytes, end: reader.end, header });
    failpoint("wal.replay.segment");
  }
  return { segments, damage };
}

function visitSegment(reader: SegmentReader, visitor: ReplayVisitor): void {
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    const { header, bytes, at } = record;
    const { tableUuid, firstSequence, rowCount, length } = header;
    const segment = reader.number;
    if (hasSequences(header.kind)) {
      visitor.rows({ tableUuid, firstSequence, rowCount, header, bytes, at, length, segment });
    } else if (header.kind === recordKinds.schema) {
      visitor.schema({ tableUuid, schema: parseSchemaRecord(bytes, at).schema, header, firstSequence, segment });
    } else {
      throw new MiniodbError(
        "INTERNAL",
        `segment ${segment} holds a record of kind ${header.kind}: a newer version wrote it`,
      );
    }
  }
}

function readSegmentHeader(disk: Disk, file: NumberedFile): SegmentHeader | undefined {
  const fd = disk.open(file.path, "r");
  try {
    const page = new Uint8Array(segmentHeaderBytes);
    const read = disk.read(fd, page, 0);
    return parseSegmentHeader(page.subarray(0, read), file.number);
  } catch (error) {
    // A first page that cannot be read costs its facts, not the records behind it.
    if ((error as NodeJS.ErrnoException).code === "EIO") return undefined;
    throw error;
  } finally {
    disk.close(fd);
  }
}

export interface DigestReport {
  readonly digests: readonly DigestHeader[];
  /** Paths of digests that cannot be read. */
  readonly damaged: readonly string[];
}

/** The batch ids of segments that were trimmed, oldest segment first; entries older than `sinceMs` are left out. */
export function readBatchDigests(
  disk: Disk,
  folder: string,
  sinceMs: number,
  visit: (entry: DigestEntry) => void,
): DigestReport {
  const digests: DigestHeader[] = [];
  const damaged: string[] = [];
  for (const file of listDigests(disk, folder)) {
    const bytes = readFile(disk, file.path);
    const header = parseDigestHeader(bytes);
    if (header === undefined) {
      damaged.push(file.path);
      continue;
    }
    digests.push(header);
    if (header.newestMs < sinceMs) continue;
    for (const entry of parseDigestEntries(bytes, header)) if (entry.batch.createdMs >= sinceMs) visit(entry);
  }
  return { digests, damaged };
}
