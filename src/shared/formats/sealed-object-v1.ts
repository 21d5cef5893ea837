/**
 * An encrypted object of a backup: AES-256-GCM in frames, so that objects of any size are sealed and opened in little
 * memory, and nothing of a frame is used before it is proved. Golden file test/golden/sealed-object-v1.bin.
 *
 * ```
 * 0    8   "MDBSEAL1"
 * 8    8   key id: tells a wrong key from a damaged object
 * 16  16   salt, random for each object
 * 32   4   frame size F in plain bytes, little-endian: 1 MiB
 * 36       frames: cipher text, then its tag of 16 bytes. All have F plain bytes but the last, which has 1 to F (0 in an
 *          object without bytes)
 * ```
 * The key of an object is HKDF-SHA256(key, salt, "miniodb backup object v1"), so that no nonce meets a key twice. The nonce of
 * a frame is its number from 0 (8 bytes, little-endian) and 1 in the last frame, else 0 (4 bytes): a frame that is missing,
 * moved or cut off is not proved (STREAM, Hoang, Reyhanitabar, Rogaway, Vizár 2015). Proved with each frame are the header
 * and the object's name, so that one object does not pass for another.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { assert } from "../assert.js";
import { MiniodbError } from "../errors.js";

const magic = Buffer.from("MDBSEAL1", "latin1");
const headerBytes = 36;
const saltBytes = 16;
const tagBytes = 16;
const frameBytes = 1024 * 1024;
const algorithm = "aes-256-gcm";

/** A key and the name that it goes by; made by `sealingKey`. */
export interface SealingKey {
  readonly secret: Uint8Array;
  /** 16 hex digits. */
  readonly id: string;
}

/** `secret` is 32 bytes. */
export function sealingKey(secret: Uint8Array): SealingKey {
  assert(secret.length === 32, "AES-256 has keys of 32 bytes");
  const id = hkdfSync("sha256", secret, new Uint8Array(0), "miniodb backup key id v1", 8);
  return { secret, id: Buffer.from(id).toString("hex") };
}

/** Size of an object of so many plain bytes. */
export function sealedBytes(plainBytes: number): number {
  return headerBytes + plainBytes + tagBytes * Math.max(1, Math.ceil(plainBytes / frameBytes));
}

/** Inverse of `sealedBytes`. */
export function plainBytesOf(sealed: number): number {
  const body = sealed - headerBytes;
  return body - tagBytes * Math.max(1, Math.ceil(body / (frameBytes + tagBytes)));
}

/** Bytes that are read at a place, fewer than asked for at the end only. */
type Reader = (position: number, length: number) => Uint8Array;
type Writer = (body: Uint8Array) => void;

/** `name` is bound to the object: it opens under that name only. `salt` is for tests. */
export function sealBytes(plain: Uint8Array, key: SealingKey, name: string, salt?: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  seal(key, name, { length: plain.length, read: readerOf(plain), write: (part) => parts.push(part), salt });
  return Buffer.concat(parts);
}

/** Throws BACKUP_UNUSABLE: another key, another name, or bytes that are not those that were sealed. */
export function openBytes(sealed: Uint8Array, key: SealingKey | null, name: string): Uint8Array {
  const parts: Uint8Array[] = [];
  open(key, name, { length: sealed.length, read: readerOf(sealed), write: (part) => parts.push(part) });
  return Buffer.concat(parts);
}

/** As sealBytes, from a file into a new one. */
export function sealFile(from: string, to: string, key: SealingKey, name: string): void {
  withFiles(from, to, (files) => seal(key, name, files));
}

/** As openBytes, from a file into a new one, of which nothing counts when it throws. */
export function openFile(from: string, to: string, key: SealingKey | null, name: string): void {
  withFiles(from, to, (files) => open(key, name, files));
}

interface Passage {
  readonly length: number;
  readonly read: Reader;
  readonly write: Writer;
  readonly salt?: Uint8Array | undefined;
}

function seal(key: SealingKey, name: string, passage: Passage): void {
  const { length, read, write } = passage;
  const header = Buffer.alloc(headerBytes);
  header.set(magic, 0);
  header.set(Buffer.from(key.id, "hex"), 8);
  header.set(passage.salt ?? randomBytes(saltBytes), 16);
  header.writeUInt32LE(frameBytes, 32);
  write(header);
  const objectKey = objectKeyOf(key, header);
  const frames = Math.max(1, Math.ceil(length / frameBytes));
  for (let index = 0; index < frames; index++) {
    const cipher = createCipheriv(algorithm, objectKey, nonceOf(index, index === frames - 1));
    cipher.setAAD(boundTo(header, name));
    write(cipher.update(read(index * frameBytes, frameBytes)));
    cipher.final();
    write(cipher.getAuthTag());
  }
}

function open(key: SealingKey | null, name: string, { length, read, write }: Passage): void {
  const header = Buffer.from(read(0, headerBytes));
  if (header.length < headerBytes || !header.subarray(0, 8).equals(magic)) throw damaged(name, "it is not encrypted");
  const keyId = header.toString("hex", 8, 16);
  if (key === null) throw wrongKey(name, `it is encrypted under key ${keyId}, and there is no key: see backup.keyFile`);
  if (key.id !== keyId) throw wrongKey(name, `it is encrypted under key ${keyId}, and the key at hand is ${key.id}`);
  const framePlain = header.readUInt32LE(32);
  if (framePlain !== frameBytes || length < headerBytes + tagBytes) throw damaged(name, "it is cut off");
  const objectKey = objectKeyOf(key, header);
  const stored = framePlain + tagBytes;
  const frames = Math.max(1, Math.ceil((length - headerBytes) / stored));
  for (let index = 0; index < frames; index++) {
    const frame = read(headerBytes + index * stored, stored);
    if (frame.length < tagBytes) throw damaged(name, "it is cut off");
    const decipher = createDecipheriv(algorithm, objectKey, nonceOf(index, index === frames - 1));
    decipher.setAAD(boundTo(header, name));
    decipher.setAuthTag(frame.subarray(frame.length - tagBytes));
    const plain = decipher.update(frame.subarray(0, frame.length - tagBytes));
    try {
      decipher.final();
    } catch (error) {
      throw damaged(name, "its bytes are not those that were written", error);
    }
    write(plain);
  }
}

function objectKeyOf(key: SealingKey, header: Uint8Array): Uint8Array {
  const salt = header.subarray(16, 16 + saltBytes);
  return new Uint8Array(hkdfSync("sha256", key.secret, salt, "miniodb backup object v1", 32));
}

function nonceOf(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64LE(BigInt(index), 0);
  nonce.writeUInt32LE(isLast ? 1 : 0, 8);
  return nonce;
}

function boundTo(header: Uint8Array, name: string): Uint8Array {
  return Buffer.concat([header, Buffer.from(name, "utf8")]);
}

function readerOf(bytes: Uint8Array): Reader {
  return (position, length) => bytes.subarray(position, position + length);
}

function withFiles(from: string, to: string, work: (passage: Passage) => void): void {
  const source = openSync(from, "r");
  try {
    const target = openSync(to, "wx");
    try {
      const buffer = Buffer.allocUnsafe(frameBytes + tagBytes);
      const read: Reader = (position, length) => buffer.subarray(0, readFully(source, buffer, position, length));
      const write: Writer = (body) => {
        for (let done = 0; done < body.length;) done += writeSync(target, body, done);
      };
      work({ length: fstatSync(source).size, read, write });
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}

function readFully(fd: number, buffer: Uint8Array, position: number, length: number): number {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, buffer, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function wrongKey(name: string, reason: string): MiniodbError {
  return new MiniodbError("BACKUP_UNUSABLE", `The object ${name} of a backup cannot be read: ${reason}.`, {
    key: name,
  });
}

function damaged(name: string, reason: string, cause?: unknown): MiniodbError {
  const message = `The object ${name} of a backup is damaged: ${reason}.`;
  return new MiniodbError("BACKUP_UNUSABLE", message, { key: name }, cause);
}
