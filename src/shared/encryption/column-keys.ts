/**
 * The keys of encrypted columns: the operator's, and what is derived of them.
 *
 * ```
 * key of the operator ─ HKDF-SHA256, "miniodb column key id v1" ─▶ key id, 4 bytes: in every value
 *                     ─ HKDF-SHA256, "miniodb column v1 <scope>" ─▶ key of the column
 * ```
 * The scope is the column's own random id (schema/column-encryption.ts). It makes the key and is what is associated with each
 * value, so that a value of one column proves nothing in another, of this table or of any.
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { assert } from "../assert.js";
import { GcmKey } from "./gcm-key.js";

const keyIdBytes = 4;
/** Key ids and scopes come from what is stored. */
const ciphersMax = 500;
const counterMax = 2 ** 32 - 1;

interface MasterKey {
  readonly id: string;
  readonly secret: Uint8Array;
}

/** The keys that a node has, newest first: the first encrypts, all decrypt. */
export class ColumnKeys {
  readonly #keys: readonly MasterKey[];
  /** By key id and scope. */
  readonly #ciphers = new Map<string, ColumnCipher>();

  /** Each of 32 bytes. */
  constructor(secrets: readonly Uint8Array[]) {
    this.#keys = secrets.map((secret) => {
      assert(secret.length === 32, "AES-256 has keys of 32 bytes");
      return { secret, id: Buffer.from(derived(secret, "miniodb column key id v1", keyIdBytes)).toString("hex") };
    });
  }

  /** For new values of the column; undefined where the node has no key. */
  newest(scope: string): ColumnCipher | undefined {
    return this.#cipher(this.#keys[0], scope);
  }

  /** For values that name this key; undefined where the node does not have it. */
  byId(keyId: string, scope: string): ColumnCipher | undefined {
    return this.#cipher(
      this.#keys.find((key) => key.id === keyId),
      scope,
    );
  }

  #cipher(key: MasterKey | undefined, scope: string): ColumnCipher | undefined {
    if (key === undefined) return undefined;
    const name = `${key.id} ${scope}`;
    const known = this.#ciphers.get(name);
    if (known !== undefined) return known;
    if (this.#ciphers.size >= ciphersMax) this.#ciphers.clear();
    const cipher = new ColumnCipher(key, scope);
    this.#ciphers.set(name, cipher);
    return cipher;
  }
}

/** One key of one column. */
export class ColumnCipher {
  /** 8 hex digits. */
  readonly keyId: string;
  readonly gcm: GcmKey;
  #noncePrefix: Uint8Array = randomBytes(8);
  #nonceCounter = 0;

  constructor(key: MasterKey, scope: string) {
    this.keyId = key.id;
    this.gcm = new GcmKey(derived(key.secret, `miniodb column v1 ${scope}`, 32), Buffer.from(scope, "latin1"));
  }

  /**
   * A nonce that this key has never had: 8 random bytes of this object, and a counter. Two objects would have to draw the same
   * 8 bytes; a thread draws them once for 4 billion values.
   */
  writeNonce(target: Uint8Array, at: number): void {
    if (this.#nonceCounter === counterMax) {
      this.#noncePrefix = randomBytes(8);
      this.#nonceCounter = 0;
    }
    const counter = ++this.#nonceCounter;
    for (let i = 0; i < 8; i++) target[at + i] = this.#noncePrefix[i] as number;
    target[at + 8] = counter >>> 24;
    target[at + 9] = counter >>> 16;
    target[at + 10] = counter >>> 8;
    target[at + 11] = counter;
  }
}

function derived(secret: Uint8Array, purpose: string, bytes: number): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), purpose, bytes));
}
