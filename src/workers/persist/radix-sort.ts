/** Wider digits need fewer passes, but more buckets than the first cache holds. */
const digitBitsMax = 12;

/** Memory of a sort, for up to `length` rows; any content. */
export interface SortScratch {
  readonly keys: Uint32Array;
  readonly nextKeys: Uint32Array;
  readonly nextRows: Uint32Array;
}

/** What `sortScratchOf` takes of the memory that it is given. */
export function sortScratchBytes(length: number): number {
  return length * 3 * Uint32Array.BYTES_PER_ELEMENT;
}

/** Lays a sort's memory into the buffer, at `offset`, a multiple of 4. */
export function sortScratchOf(memory: ArrayBuffer, offset: number, length: number): SortScratch {
  const at = (index: number): Uint32Array => new Uint32Array(memory, offset + index * length * 4, length);
  return { keys: at(0), nextKeys: at(1), nextRows: at(2) };
}

/**
 * A stable radix sort, in place, of row numbers by `words[row]`, unsigned; bits that no word has set cost nothing. Keys
 * travel with their rows, so that every pass but its writes runs through memory in order.
 */
export function sortRowsByWords(order: Uint32Array, words: Uint32Array, scratch: SortScratch): void {
  const bits = usedBits(words);
  if (bits === 0) return;
  const passes = Math.ceil(bits / digitBitsMax);
  const digitBits = Math.ceil(bits / passes);
  let { keys, nextKeys, nextRows } = scratch;
  let rows = order;
  for (let at = 0; at < order.length; at++) keys[at] = words[order[at] as number] as number;
  for (let pass = 0; pass < passes; pass++) {
    scatter({ rows, keys, nextRows, nextKeys, shift: pass * digitBits, buckets: 1 << digitBits });
    [rows, nextRows] = [nextRows, rows];
    [keys, nextKeys] = [nextKeys, keys];
  }
  if (rows !== order) order.set(rows);
}

/** Position of the highest bit that is set in any word, from 1; 0 where none is. */
function usedBits(words: Uint32Array): number {
  let any = 0;
  for (let row = 0; row < words.length; row++) any |= words[row] as number;
  return 32 - Math.clz32(any);
}

interface Pass {
  readonly rows: Uint32Array;
  readonly keys: Uint32Array;
  readonly nextRows: Uint32Array;
  readonly nextKeys: Uint32Array;
  readonly shift: number;
  readonly buckets: number;
}

function scatter({ rows, keys, nextRows, nextKeys, shift, buckets }: Pass): void {
  const mask = buckets - 1;
  const next = new Uint32Array(buckets);
  for (let at = 0; at < rows.length; at++) {
    const digit = ((keys[at] as number) >>> shift) & mask;
    next[digit] = (next[digit] as number) + 1;
  }
  let sum = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const count = next[bucket] as number;
    next[bucket] = sum;
    sum += count;
  }
  for (let at = 0; at < rows.length; at++) {
    const key = keys[at] as number;
    const digit = (key >>> shift) & mask;
    const to = next[digit] as number;
    next[digit] = to + 1;
    nextKeys[to] = key;
    nextRows[to] = rows[at] as number;
  }
}
