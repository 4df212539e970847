// The way back to the client of one request, as plain or as broken as a fault wants it. What left is noted
// once: when, how many bytes, and whether the client was still there.

import { STATUS_CODES } from 'node:http';

export class Line {
  #socket;

  #note;

  #bytes = 0;

  constructor(socket, note) {
    this.#socket = socket;
    this.#note = note;
    socket.once('close', () => this.#noted(false));
  }

  /** A whole answer, and the connection's end. */
  send(answer) {
    this.end(this.written(answer));
  }

  /** The last that leaves; `reset` ends the connection with an RST instead of a FIN. */
  end(text, { reset = false } = {}) {
    this.#bytes += text.length;
    if (reset) {
      this.#noted(true);
      this.#socket.resetAndDestroy();
      return;
    }
    this.#socket.end(text, 'latin1', (error) => this.#noted(!error));
  }

  /** The last that leaves on a connection that stays. */
  keep(text) {
    this.#bytes += text.length;
    this.#socket.write(text, 'latin1', (error) => this.#noted(!error));
  }

  /** A part of an answer; `false` once the client is gone. */
  write(text) {
    return new Promise((told) => {
      if (this.#socket.destroyed) {
        told(false);
        return;
      }
      const gone = () => told(false);
      this.#socket.once('close', gone);
      this.#socket.write(text, 'latin1', (error) => {
        this.#socket.off('close', gone);
        this.#bytes += error ? 0 : text.length;
        told(!error);
      });
    });
  }

  written({ status, headers, body }) {
    return this.head(status, { ...headers, 'content-length': body.length }) + body;
  }

  head(status, headers) {
    const lines = Object.entries({ connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`;
  }

  #noted(whole) {
    this.#note?.({ bytes: this.#bytes, whole });
    this.#note = undefined;
  }
}
