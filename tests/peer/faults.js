// What goes wrong between the provider and its client. An order names a fault, says whether the provider
// `handled` the request before it, and holds the fault's own settings. A fault that alters an answer
// needs one, so the request is always handled; the others say what they say in both cases, which the
// client cannot tell apart.

import { setTimeout as pause } from 'node:timers/promises';

const MEGABYTE = 1_000_000;

const faults = {
  /** The connection ends without an answer: politely, or with a reset. */
  cut: (line, _, { reset }) => line.end('', { reset }),

  /** A status and perhaps a Retry-After: seconds, or as a date that lies as far ahead. */
  status: (line, _, { status, retry_after: wait, date }) => {
    const until = () => new Date(Date.now() + wait * 1000).toUTCString();
    const headers = wait === undefined ? {} : { 'retry-after': date ? until() : String(wait) };
    line.send({ status, headers, body: '' });
  },

  /** A page for people. */
  html: (line, _, { status = 200 }) =>
    line.send({
      status,
      headers: { 'content-type': 'text/html' },
      body: '<!doctype html><title>Just a moment...</title>',
    }),

  /** An error as RFC 6749 §5.2 has it, under whatever status. */
  error: (line, _, { status = 200, code }) => line.send({ status, headers: {}, body: JSON.stringify({ error: code }) }),

  /** The same token asked for elsewhere, or at the same place again. */
  redirect: (line, _, { status = 307, location = '/token' }) => line.send({ status, headers: { location }, body: '' }),
};

const alterations = {
  /** The answer comes this many milliseconds late. */
  slow: async (line, answer, { ms }) => {
    await pause(ms);
    line.send(answer);
  },

  /** The body breaks off right before `at` (a member's name), or this many bytes before its end. */
  truncate: (line, answer, { at, missing }) => {
    const end = at === undefined ? answer.body.length - missing : answer.body.indexOf(`"${at}"`);
    line.end(line.written(answer).slice(0, end - answer.body.length));
  },

  /** Members of the answer left out or replaced; `set` holds their JSON as text. */
  change: (line, answer, { omit = [], set = {} }) => {
    const left = Object.entries(JSON.parse(answer.body)).filter(([name]) => !omit.includes(name) && !(name in set));
    const members = [...left.map(([name, value]) => [name, JSON.stringify(value)]), ...Object.entries(set)];
    line.send({ ...answer, body: `{${members.map(([name, json]) => `"${name}":${json}`).join()}}` });
  },

  /** Chunked, one byte in each chunk, a millisecond apart. */
  trickle: async (line, answer) => {
    const head = line.head(answer.status, { ...answer.headers, 'transfer-encoding': 'chunked' });
    if (!(await line.write(head))) return;
    for (const byte of answer.body) {
      await pause(1);
      if (!(await line.write(`1\r\n${byte}\r\n`))) return;
    }
    line.end('0\r\n\r\n');
  },

  /** An answer of 50 MB; the tokens stand before or behind the padding. */
  huge: async (line, answer, { tokens }) => {
    const members = answer.body.slice(1, -1);
    const [before, behind] = tokens === 'first' ? [`{${members},"padding":"`, '"}'] : ['{"padding":"', `",${members}}`];
    const length = before.length + 50 * MEGABYTE + behind.length;
    const megabyte = 'x'.repeat(MEGABYTE);
    let open = await line.write(line.head(answer.status, { ...answer.headers, 'content-length': length }) + before);
    for (let sent = 0; open && sent < 50; sent += 1) open = await line.write(megabyte);
    if (open) line.end(behind);
  },

  /** A whole answer on a connection that stays open for another request, whatever the client asked for. */
  'keep-open': (line, answer) => {
    const headers = { ...answer.headers, connection: 'keep-alive', 'keep-alive': 'timeout=600' };
    line.keep(line.written({ ...answer, headers }));
  },
};

/** The faults that wait for requests to come: those of a grant, and under '' those of whoever comes next. */
export class Orders {
  #waiting = new Map();

  /** Replaces what waited for the same. Throws where an order means nothing. */
  place(orders, grant = '') {
    orders.forEach(({ fault, handled }) => {
      const known = fault in alterations ? handled === true : fault in faults && typeof handled === 'boolean';
      if (!known) throw new Error(`no such fault: ${fault}, handled: ${handled}`);
    });
    const waiting = orders.flatMap((order) => Array(order.times ?? 1).fill(order));
    this.#waiting.set(grant, waiting);
    return waiting.length;
  }

  next(grant) {
    return this.#waiting.get(grant)?.shift() ?? this.#waiting.get('')?.shift();
  }
}

/** Lets the client feel what was ordered; `answer` is the provider's, if it handled the request. */
export async function act(order, line, answer) {
  await (alterations[order.fault] ?? faults[order.fault])(line, answer, order);
}
