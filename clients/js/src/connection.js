/**
 * The live top 10, in a browser, a worker, Node.js or React Native: one function, no dependencies.
 *
 * A page of another origin than the service needs that origin in the service's setting `allowed_origins`.
 * **The shown board.** A connection begins with the whole board; then it sends only positions that changed since its
 * last message. So each connection has a copy of its own, which is shown when its `version` is not below the shown one.
 * An older copy comes from a replica that lags, which passes, or from a board that was restored from a backup, which
 * stays: it is shown when it is still older after 5 s. A change that is older than its own copy is dropped, and a new
 * connection gets the whole board.
 *
 * **When the connection is lost** the client connects again after a random time of up to 1 s, 2 s, 4 s … 30 s, so that
 * the clients of a server that restarts do not return at the same moment. A refusal (44xx, 1008, 1009) is final: one
 * `console.warn` names the cause and the setting to change, and the state has `final: true`. Two refusals can pass: 4429
 * (too many) is retried after 30 to 60 s, twice as late each time up to 8 to 16 minutes; 4401 once, if `token` is a
 * function, which is called for a fresh token.
 *
 * **A socket can die silently** (sleep, a change of network, a NAT that drops its state). When that is likely, a second
 * connection is opened beside the first and replaces it with its first message. It is likely after a change of the
 * network, after the page was hidden, after a jump of the clock, and after a silence of 1 to 2 minutes, which doubles
 * up to 8 to 16 minutes while the board is just quiet.
 *
 * @module
 */

import { TOO_MANY, UNAUTHENTICATED, explain, isFinal } from "./closing.js";
import { FIRST_MESSAGE, Link } from "./link.js";

/**
 * @typedef {object} Row One position; frozen.
 * @property {string} userId
 * @property {string} username
 * @property {string | null} avatarUrl
 * @property {number | bigint} score A bigint where a number would not be exact, beyond 2^53.
 * @property {number} rank Competition rank: 1, 2, 2, 4.
 *
 * @typedef {object} State Frozen.
 * @property {"connecting" | "live" | "disconnected"} name `connecting` only until the first success or failure.
 * @property {Date} since Of `disconnected`: since when the board may be out of date.
 * @property {Date | null} retryAt When the next attempt starts by itself.
 * @property {boolean} final No attempt follows by itself: call `retry()` after the cause is removed.
 * @property {number | null} code Why it is disconnected: a WebSocket close code.
 * @property {string} reason With a 44xx the service's error code, for example `origin_not_allowed`.
 * @property {string} message The cause and what to change, for a developer; empty where nothing needs to change.
 *
 * @typedef {object} ScoreUpdate A change of the player's own score.
 * @property {number | bigint} newScore
 * @property {number} leaderboardPosition Competition rank, at any depth.
 * @property {number | bigint} change Points since the last such message.
 *
 * @typedef {object} Epoch The open epoch of the period; frozen.
 * @property {string} period
 * @property {number} epoch Number, from 1.
 * @property {"open" | "ending"} state `ending` in the last minute of an epoch that is longer.
 * @property {Date | null} end By the service's clock; null while it is not known.
 * @property {number | null} remaining Milliseconds until the end, when the message came: for a countdown, as the clock
 *   of a visitor can be wrong.
 *
 * @typedef {string | null} Token
 *
 * @typedef {Token | ((refused: boolean) => Token | Promise<Token>)} TokenSource A function is called at every
 *   connection; `refused`: the service did not accept the last token; return a fresh one.
 *
 * @typedef {new (url: string) => WebSocketLike} WebSocketClass The standard class, or that of the package `ws`.
 *
 * @typedef {object} WebSocketLike
 * @property {(type: any, listener: (event: any) => void) => void} addEventListener
 * @property {(data: string) => void} send
 * @property {() => void} close
 *
 * @typedef {object} ConnectionOptions
 * @property {string | URL} [url] The socket, `wss://board.example/ws/leaderboard`. By default `/ws/leaderboard` of the
 *   page's own origin; for `/static/leaderboard.js`, of the service that served that module.
 * @property {string} [board] Name of the board, by default `main`.
 * @property {string} [period] Name of a period of the board, or `all` for all time; by default what the board shows.
 * @property {TokenSource} [token] Sent as the first message, never in the URL.
 * @property {(rows: readonly (Row | null)[], version: number) => void} [onBoard] `null` is an empty position.
 * @property {(state: State) => void} [onState]
 * @property {(score: ScoreUpdate) => void} [onScore] Needs a token.
 * @property {(epoch: Epoch) => void} [onPeriod] Needs `period`, and a service that announces epochs: after each
 *   connection, a minute before the end, when the end changes, and when the next epoch has begun.
 * @property {WebSocketClass} [WebSocket] For a runtime without a global WebSocket, as Node.js 20.
 *
 * @typedef {object} Connection
 * @property {State} state
 * @property {() => void} close For good.
 * @property {() => void} retry At once, also after a refusal.
 */

const SOCKET = "/ws/leaderboard";
const BACKOFF_FIRST = 1_000; // all times are milliseconds
const BACKOFF_MAX = 30_000;
const TOO_MANY_FIRST = 30_000;
const TOO_MANY_MAX = 480_000;
const SETTLED = 10_000; // a connection that lasted this long resets the backoff
const LAG = 5_000;
const SILENCE = 60_000;
const SILENCE_MAX = 8 * SILENCE;
const TICK = 5_000;
const CLOCK_JUMP = 90_000; // hidden pages' timers run once a minute, so a shorter gap means nothing
const SUSPECT = 5; // failed attempts in a row without any success: probably not a server that restarts

/**
 * Connect to the live top 10, and stay connected until closed.
 * @param {ConnectionOptions} [options]
 * @returns {Connection}
 * @throws {TypeError} Without a `url` where there is no page, or without a `WebSocket` where there is no global one.
 */
export function connectLeaderboard(options = {}) {
  const client = new Client(options);
  client.open();
  client.watch();
  return Object.freeze({
    get state() {
      return client.state;
    },
    close: () => client.close(),
    retry: () => client.open(),
  });
}

/** @type {State} */
const START = {
  name: "connecting",
  since: new Date(0),
  retryAt: null,
  final: false,
  code: null,
  reason: "",
  message: "",
};

class Client {
  /** @type {Link | null} */ #link = null;
  /** @type {Link | null} */ #next = null; // takes over from #link with its first message
  #first = Object.freeze({ ...START, since: new Date() });
  /** @type {State} */ state = this.#first;
  /** @type {Link["rows"]} */ #rows = [];
  #version = 0;
  #attempts = 0;
  #tooMany = 0;
  #closed = false;
  #wasLive = false;
  #warned = "";
  #silence = SILENCE;
  #refused = false;
  #doubtedSince = 0;
  #lastTick = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #opening = undefined;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #believing = undefined;
  /** @type {(() => void)[]} */ #cleanups = [];
  #options;
  #url;
  #Socket;

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
    this.#url = socketUrl(options);
    this.#Socket = socketClass(options.WebSocket);
  }

  /** Follow the runtime's events of the network and the page; a runtime without events has only the timer. */
  watch() {
    const ticking = setInterval(() => this.#tick(), TICK);
    this.#cleanups.push(() => clearInterval(ticking));
    this.#on(globalThis, "offline", () => this.state.final || this.open());
    this.#on(globalThis, "online", () => this.state.final || this.#openSoon(Math.random() * BACKOFF_FIRST));
    this.#on(globalThis, "pagehide", () => this.#drop()); // an open socket would keep the page out of the back/forward cache
    this.#on(globalThis, "pageshow", ({ persisted }) => persisted && !this.state.final && this.open());
    this.#on(globalThis.document, "visibilitychange", () => this.#seen());
  }

  /**
   * @param {Partial<Pick<EventTarget, "addEventListener" | "removeEventListener">> | undefined} target
   * @param {string} type
   * @param {(event: any) => void} act
   */
  #on(target, type, act) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, act);
    this.#cleanups.push(() => target.removeEventListener?.(type, act));
  }

  close() {
    this.#closed = true;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    this.#drop();
  }

  /** Open a connection now; the present one stays until the new one has sent a message.
   * @param {number} [doubtedSince] since when the present one may be dead
   */
  open(doubtedSince = Date.now()) {
    if (this.#closed) return;
    clearTimeout(this.#opening);
    this.#next?.drop();
    this.#doubtedSince = doubtedSince;
    this.#next = new Link(this.#Socket, this.#url, () => this.#token(), {
      board: (link) => this.#heard(link),
      outOfOrder: () => this.#openSoon(Math.random() * LAG),
      score: (score) => this.#options.onScore?.(score),
      period: (epoch) => this.#options.onPeriod?.(epoch),
      end: (link, code, reason) => this.#lost(link, code, reason),
    });
    if (this.state === this.#first) this.#enter(this.#first);
  }

  /** @param {number} delay */
  #openSoon(delay) {
    clearTimeout(this.#opening);
    this.#opening = setTimeout(() => this.open(), delay);
  }

  #drop() {
    clearTimeout(this.#opening);
    clearTimeout(this.#believing);
    this.#link?.drop();
    this.#next?.drop();
    this.#link = this.#next = null;
  }

  async #token() {
    const { token = null } = this.#options;
    return typeof token === "function" ? token(this.#refused) : token;
  }

  /** @param {Link} link */
  #heard(link) {
    if (link === this.#next) {
      if (this.#link) this.#silence = link.shows(this.#rows) ? Math.min(2 * this.#silence, SILENCE_MAX) : SILENCE;
      this.#link?.drop();
      [this.#link, this.#next] = [link, null];
      clearTimeout(this.#believing);
      this.#believing = setTimeout(() => this.#show(link), LAG);
    }
    if (this.state.name !== "live") this.#enter({ ...START, name: "live", since: new Date() });
    if (link.version >= this.#version) this.#show(link);
  }

  /** @param {Link} link */
  #show(link) {
    if (this.#closed) return;
    clearTimeout(this.#believing);
    [this.#rows, this.#version] = [link.rows, link.version];
    this.#options.onBoard?.(link.rows, link.version);
  }

  /**
   * @param {Link} link
   * @param {number} code
   * @param {string} reason
   */
  #lost(link, code, reason) {
    const now = Date.now();
    const since = link === this.#next && this.#link ? this.#doubtedSince : now;
    this.#drop();
    if (link.liveSince && now - link.liveSince > SETTLED) this.#settled();
    const delay = this.#delay(code);
    this.#refused ||= code === UNAUTHENTICATED;
    if (delay !== null) this.#openSoon(delay);
    const message = this.#message(code, reason, delay);
    const { name, since: before } = this.state;
    this.#enter({
      name: "disconnected",
      since: name === "live" ? new Date(since) : before,
      retryAt: delay === null ? null : new Date(now + delay),
      final: delay === null,
      code,
      reason,
      message,
    });
  }

  #settled() {
    [this.#attempts, this.#tooMany, this.#refused, this.#warned] = [0, 0, false, ""];
  }

  /**
   * Until the next attempt; null for none.
   * @param {number} code
   */
  #delay(code) {
    if (code === TOO_MANY) return (1 + Math.random()) * Math.min(TOO_MANY_FIRST * 2 ** this.#tooMany++, TOO_MANY_MAX);
    const renewable = code === UNAUTHENTICATED && typeof this.#options.token === "function" && !this.#refused;
    if (isFinal(code) && !renewable) return null;
    return Math.random() * Math.min(BACKOFF_FIRST * 2 ** this.#attempts++, BACKOFF_MAX);
  }

  /** The remedy for a developer, with one warning about it; empty if the next attempt is likely to succeed.
   * @param {number} code
   * @param {string} reason
   * @param {number | null} delay
   */
  #message(code, reason, delay) {
    const refused = delay === null || code === TOO_MANY;
    const unreachable = !this.#wasLive && this.#attempts >= SUSPECT;
    if (!refused && !unreachable) return "";
    const cause = refused
      ? explain(code, reason)
      : "No connection so far. Check the address, that proxies pass WebSockets on, and the page's Content-Security-Policy (connect-src).";
    const key = `${code} ${reason}`;
    if (this.#warned !== key) {
      const next = delay === null ? "It will not be retried." : "It is retried.";
      globalThis.console?.warn(`leaderboard: ${this.#url} closed the socket with ${key.trim()}. ${cause} ${next}`);
    }
    this.#warned = key;
    return cause;
  }

  /** @param {State} state */
  #enter(state) {
    this.state = Object.freeze(state);
    this.#wasLive ||= state.name === "live";
    this.#options.onState?.(this.state);
  }

  #tick() {
    const [last, link] = [this.#lastTick, this.#link];
    this.#lastTick = Date.now();
    if (!link || this.#next) return;
    if (this.#lastTick - last > CLOCK_JUMP) this.open(last);
    else if (link.isSilent(this.#silence)) this.open(link.heardAt);
  }

  /** The page is visible again: skip the backoff, and do not trust a socket that slept. */
  #seen() {
    if (document.visibilityState !== "visible" || this.#next) return;
    if (this.#link ? this.#link.isSilent(FIRST_MESSAGE) : this.state.retryAt) this.open(this.#link?.heardAt);
  }
}

/** Without the class URL if the address is absolute: React Native's is incomplete.
 * @param {Pick<ConnectionOptions, "url" | "board" | "period">} options
 */
function socketUrl({ url = SOCKET, board = "main", period }) {
  let text = String(url);
  if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) {
    const base = globalThis.location?.href;
    if (!base) throw new TypeError(`leaderboard: give the socket's whole address as \`url\`, not ${text}: there is no page here.`);
    text = new URL(text, base).href;
  }
  if (board !== "main") {
    if (!text.endsWith(SOCKET)) throw new TypeError(`leaderboard: with \`board\`, the address has to end with ${SOCKET}, not ${text}.`);
    text = `${text.slice(0, -SOCKET.length)}/boards/${encodeURIComponent(board)}${SOCKET}`;
  }
  if (period !== undefined) text += `${text.includes("?") ? "&" : "?"}period=${encodeURIComponent(period)}`;
  return text.replace(/^http/i, "ws");
}

/** @param {WebSocketClass} [given] */
function socketClass(given) {
  const found = given ?? globalThis.WebSocket;
  if (found) return found;
  throw new TypeError("leaderboard: there is no global WebSocket here (as in Node.js 20). Pass one: `import WebSocket from \"ws\"`.");
}
