// Where the provider keeps its grants and tokens: a journal, one JSON line per change, read again at the
// next start. A line is one write, so what was changed survives a kill -9 of this process (not a power
// cut: nothing is synced). It also answers the tests' questions; only fingerprints of tokens leave it.

import { createHash } from 'node:crypto';
import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/** Stands for a token wherever somebody may read: the first 16 hexadecimal digits of its SHA-256. */
export function fingerprint(token) {
  return createHash('sha256').update(token).digest('hex').slice(0, 16);
}

export class Journal {
  #file;

  /** model name → id → payload; a Map keeps the order in which entries came. */
  #entries = new Map();

  /** Grant of every refresh token ever issued, by fingerprint: a revoked token still has its family. */
  #families = new Map();

  /** The newest refresh token of every grant. */
  #newest = new Map();

  constructor(path) {
    this.#file = openSync(path, 'a+', 0o600);
    const text = readFileSync(path, 'latin1');
    // What was written of a last line without its end never counted.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    ftruncateSync(this.#file, whole.length);
    const lines = whole.split('\n').slice(0, -1);
    lines.forEach((line) => this.#apply(JSON.parse(line)));
  }

  /** The adapter that oidc-provider asks for, one object per model. */
  adapter(model) {
    const change = (id, payload) => this.#change({ model, id, payload });
    const find = (is) => [...this.#of(model).values()].find(is);
    return {
      upsert: async (id, payload) => change(id, payload),
      find: async (id) => this.#of(model).get(id),
      findByUid: async (uid) => find((payload) => payload.uid === uid),
      findByUserCode: async (code) => find((payload) => payload.userCode === code),
      consume: async (id) => change(id, { ...this.#of(model).get(id), consumed: Math.floor(Date.now() / 1000) }),
      destroy: async (id) => change(id, undefined),
      revokeByGrantId: async (grant) => {
        for (const [id, payload] of [...this.#of(model)]) {
          if (payload.grantId === grant) change(id, undefined);
        }
      },
    };
  }

  /** The grant that a refresh token belongs or belonged to. */
  family(token) {
    return this.#families.get(fingerprint(token)) ?? null;
  }

  /** Whether a grant can still be refreshed, and the fingerprint of its newest refresh token, dead or alive. */
  standing(grant) {
    const id = this.#newest.get(grant);
    const token = this.#of('RefreshToken').get(id);
    const usable = token !== undefined && token.consumed === undefined;
    return { alive: usable && this.#of('Grant').has(grant), newest: id === undefined ? null : fingerprint(id) };
  }

  #of(model) {
    if (!this.#entries.has(model)) this.#entries.set(model, new Map());
    return this.#entries.get(model);
  }

  #change(change) {
    writeSync(this.#file, `${JSON.stringify(change)}\n`);
    this.#apply(change);
  }

  #apply({ model, id, payload }) {
    if (payload === undefined) {
      this.#of(model).delete(id);
      return;
    }
    this.#of(model).set(id, payload);
    if (model !== 'RefreshToken') return;
    // A token is changed once more when it is used.
    if (!this.#families.has(fingerprint(id))) this.#newest.set(payload.grantId, id);
    this.#families.set(fingerprint(id), payload.grantId);
  }
}
