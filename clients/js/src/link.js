/** One socket and its copy of the board.
 *
 * @module
 * @import { Epoch, Row, ScoreUpdate, Token, WebSocketClass } from "./connection.js"
 */

import { ABNORMAL } from "./closing.js";
import { object } from "./json.js";

/** Milliseconds from opening the socket to the first message. */
export const FIRST_MESSAGE = 15_000;

export class Link {
  /** @type {readonly (Row | null)[]} */ rows = [];
  version = 0;
  heardAt = Date.now();
  /** @type {number | null} When the first message came. */ liveSince = null;
  #over = false;
  #inOrder = true;
  #impatience = 1 + Math.random();
  #events;
  #socket;
  #deadline;

  /**
   * @param {WebSocketClass} Socket
   * @param {string} url
   * @param {() => Token | Promise<Token>} token
   * @param {{ board: (link: Link) => void, outOfOrder: () => void, score: (score: ScoreUpdate) => void,
   *           period: (epoch: Epoch) => void, end: (link: Link, code: number, reason: string) => void }} events
   */
  constructor(Socket, url, token, events) {
    this.#events = events;
    this.#socket = new Socket(url);
    // Neither the package ws nor React Native removes a listener by an AbortSignal, so each listener checks #over.
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      this.#socket.addEventListener(type, (/** @type {any} */ event) => this.#over || act(event));
    on("open", () => this.#authenticate(token));
    on("message", ({ data }) => this.#read(data));
    on("close", ({ code, reason }) => this.#end(code ?? ABNORMAL, reason ?? ""));
    on("error", () => {}); // `close` follows; the package ws throws where nothing listens
    this.#deadline = setTimeout(() => this.#end(ABNORMAL, "no answer in time"), FIRST_MESSAGE);
  }

  /** Close, and report nothing from now on: a dead socket takes minutes to report that it closed. */
  drop() {
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#socket.close();
  }

  /** Whether no message came for once to twice `patience` milliseconds; each link has its own limit within that, so
  that
 * the clients of one broadcast do not all act at the same moment.
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
    try {
      const token = await ask();
      if (token && !this.#over) this.#socket.send(JSON.stringify({ type: "authenticate", token }));
    } catch (error) {
      if (!this.#over) this.#end(ABNORMAL, `no token: ${error}`);
    }
  }

  /** @param {unknown} data */
  #read(data) {
    this.heardAt = Date.now();
    const message = typeof data === "string" ? object(data) : null;
    if (!message) this.#end(ABNORMAL, "a message that is not JSON");
    else if (message.type === "leaderboard.update") this.#update(message.version, message.data.updatedPositions);
    else if (message.type === "user.scoreUpdate") this.#events.score(Object.freeze(message.data));
    else if (message.type === "period") this.#events.period(epoch(message));
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
    while (rows.length && !rows[rows.length - 1]) rows.pop();
    this.rows = Object.freeze(Array.from(rows, (row) => row ?? null));
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

/** @returns {Epoch} */
function epoch(/** @type {any} */ { period, epoch, state, end, now }) {
  const ends = end === null ? null : new Date(end);
  return Object.freeze({ period, epoch, state, end: ends, remaining: ends && Math.max(0, Number(ends) - Date.parse(now)) });
}
