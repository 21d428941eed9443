/**
 * One socket and the copy of the board that it brought; `leaderboard.js` is the module to import.
 *
 * @module
 * @import { Row, Score, Token } from "./leaderboard.js"
 */

/** Milliseconds from opening the socket to the first message. */
export const FIRST_MESSAGE = 15_000;

/** Code of a socket that ended without a close frame. */
const ABNORMAL = 1006;

export class Link {
  /** @type {readonly (Row | null)[]} */ rows = [];
  version = 0;
  heardAt = Date.now();
  /** @type {number | null} When the first message came. */ liveSince = null;
  #inOrder = true;
  #impatience = 1 + Math.random();
  #listener = new AbortController();
  #events;
  #socket;
  #deadline;

  /**
   * @param {URL} url
   * @param {() => Token | Promise<Token>} token
   * @param {{ board: (link: Link) => void, outOfOrder: () => void, score: (score: Score) => void,
   *           end: (link: Link, code: number, reason: string) => void }} events
   */
  constructor(url, token, events) {
    this.#events = events;
    this.#socket = new WebSocket(url);
    const { signal } = this.#listener;
    this.#socket.addEventListener("open", () => this.#authenticate(token), { signal });
    this.#socket.addEventListener("message", ({ data }) => this.#read(data), { signal });
    this.#socket.addEventListener("close", ({ code, reason }) => this.#end(code, reason), { signal });
    this.#deadline = setTimeout(() => this.#end(ABNORMAL, "no answer in time"), FIRST_MESSAGE);
  }

  /** Close, and be silent from now on: a dead socket would take its time to say that it closed. */
  drop() {
    this.#listener.abort();
    clearTimeout(this.#deadline);
    this.#socket.close();
  }

  /**
   * Whether nothing came for once to twice `patience` milliseconds; each link has its own measure within that, so that
   * the many that heard the last message together don't act together.
   * @param {number} patience
   */
  isSilent(patience) {
    return Date.now() - this.heardAt > patience * this.#impatience;
  }

  /** @param {Link["rows"]} rows */
  shows(rows) {
    const same = (/** @type {Row | null} */ row, /** @type {number} */ at) =>
      row?.userId === rows[at]?.userId && row?.score === rows[at]?.score;
    return rows.length === this.rows.length && this.rows.every(same);
  }

  /** @param {() => Token | Promise<Token>} ask */
  async #authenticate(ask) {
    const { signal } = this.#listener;
    try {
      const token = await ask();
      if (token && !signal.aborted) this.#socket.send(JSON.stringify({ type: "authenticate", token }));
    } catch (error) {
      if (!signal.aborted) this.#end(ABNORMAL, `no token: ${error}`);
    }
  }

  /** @param {string} data */
  #read(data) {
    this.heardAt = Date.now();
    const message = JSON.parse(data, exactly);
    if (message.type === "leaderboard.update") this.#update(message.version, message.data.updatedPositions);
    else if (message.type === "user.scoreUpdate") this.#events.score(Object.freeze(message.data));
  }

  /**
   * @param {number} version
   * @param {(Row & { position: number })[]} positions
   */
  #update(version, positions) {
    if (version < this.version) {
      if (this.#inOrder) this.#events.outOfOrder();
      this.#inOrder = false;
      return;
    }
    const rows = [...this.rows];
    for (const { position, ...row } of positions) rows[position - 1] = row.userId === null ? null : Object.freeze(row);
    const filled = rows.findLastIndex((row) => row) + 1;
    this.rows = Object.freeze(Array.from({ length: filled }, (_, at) => rows[at] ?? null));
    this.version = version;
    this.liveSince ??= this.heardAt;
    clearTimeout(this.#deadline);
    this.#events.board(this);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    this.drop();
    this.#events.end(this, code, reason);
  }
}

/**
 * A JSON reviver for int64: where the browser tells the source text, an integer that a number can't hold is a bigint.
 * @param {string} _key
 * @param {unknown} value
 * @param {{ source?: string }} [context]
 */
function exactly(_key, value, context) {
  const source = context?.source;
  return Number.isInteger(value) && !Number.isSafeInteger(value) && source && /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;
}
