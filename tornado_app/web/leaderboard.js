/**
 * The live top 10 for any web page: one function, no dependencies, no build step.
 *
 *     import { connectLeaderboard } from "https://board.example/static/leaderboard.js";
 *
 *     const connection = connectLeaderboard({
 *       onBoard: (rows) => console.table(rows),        // rows[0] is position 1
 *       onState: ({ name }) => console.log(name),      // connecting, live, disconnected
 *       token: () => session.accessToken(),            // optional; with it also:
 *       onScore: ({ newScore }) => console.log(newScore),
 *     });
 *     connection.close();
 *
 * A page of another origin than the server's needs that origin in the server's setting `allowed_origins`.
 *
 * **What is shown.** A connection begins with the whole board; then come only the positions that changed, against what
 * was sent on that very connection. So each connection has a copy of its own, which is shown when its `version` is not
 * below the shown one. A copy that is older comes from a replica that lags, which passes, or from a board that was
 * restored from a backup, which stays: it is shown when it is still older after 5 s. A change that is older than its
 * own copy is dropped, and as that copy can't be trusted any more, a new connection brings the whole board.
 *
 * **When the connection is lost** it is made anew after a random time of up to 1 s, 2 s, 4 s … 30 s, so that a server
 * that comes back isn't run over by everybody at once. A close with 44xx is the server's refusal and final, except 4429
 * (too many: 30 to 60 s later) and 4401 where `token` is a function, which is asked for a fresh token once.
 *
 * **A socket can die without a word** (sleep, a change of network, a forgetful NAT). When that is likely, a second
 * connection is opened beside the first and takes over with its first message. Likely is: the network went or came, the
 * page was hidden, the clock jumped, or nothing was heard for 1 to 2 minutes, which doubles up to 8 to 16 minutes while
 * the silence turns out to be just a quiet board.
 *
 * @module
 */

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
 * @property {number | null} code Why it is disconnected: a WebSocket close code.
 * @property {string} reason With a 44xx the server's error code, as `origin_not_allowed`.
 *
 * @typedef {object} Score The player's own news.
 * @property {number | bigint} newScore
 * @property {number} leaderboardPosition Competition rank, at any depth.
 * @property {number | bigint} change Points since the last such message.
 *
 * @typedef {string | null} Token
 *
 * @typedef {object} Options
 * @property {string | URL} [url] The socket; by default that of the server which this module came from.
 * @property {Token | ((refused: boolean) => Token | Promise<Token>)} [token] Sent as the first message, never in the
 *   URL. A function is asked at every connection; `refused` says that the server did not take the last one.
 * @property {(rows: readonly (Row | null)[], version: number) => void} [onBoard] `null` is an empty position.
 * @property {(state: State) => void} [onState]
 * @property {(score: Score) => void} [onScore] Needs a token.
 *
 * @typedef {object} Connection
 * @property {() => void} close For good.
 * @property {() => void} retry At once, also after a refusal.
 */

const BACKOFF_FIRST = 1_000; // all times are milliseconds
const BACKOFF_MOST = 30_000;
const TOO_MANY_PAUSE = 30_000;
const SETTLED = 10_000; // a connection that lasted this long makes the backoff start afresh
const LAG = 5_000;
const SILENCE = 60_000;
const SILENCE_MOST = 8 * SILENCE;
const TICK = 5_000;
const CLOCK_JUMP = 90_000; // hidden pages' timers run once a minute, so a shorter gap means nothing
const UNAUTHENTICATED = 4401;
const TOO_MANY = 4429;

/**
 * Show the live top 10, and keep at it until closed.
 * @param {Options} [options]
 * @returns {Connection}
 */
export function connectLeaderboard(options = {}) {
  const client = new Client(options);
  client.open();
  return { close: () => client.close(), retry: () => client.open() };
}

class Client {
  /** @type {Link | null} */ #link = null;
  /** @type {Link | null} */ #next = null; // takes over from #link with its first message
  /** @type {State | null} */ #state = null;
  /** @type {Link["rows"]} */ #rows = [];
  #version = 0;
  #attempts = 0;
  #silence = SILENCE;
  #refused = false;
  #doubtedSince = 0;
  #lastTick = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #opening = undefined;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #believing = undefined;
  #life = new AbortController();
  #options;
  #url;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#url = socketUrl(options.url);
    const { signal } = this.#life;
    const ticking = setInterval(() => this.#tick(), TICK);
    signal.addEventListener("abort", () => clearInterval(ticking));
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      globalThis.addEventListener(type, act, { signal });
    on("offline", () => this.open());
    on("online", () => this.#openSoon(Math.random() * BACKOFF_FIRST));
    on("pagehide", () => this.#drop()); // an open socket would keep the page out of the back/forward cache
    on("pageshow", ({ persisted }) => persisted && this.open());
    globalThis.document?.addEventListener("visibilitychange", () => this.#seen(), { signal });
  }

  close() {
    this.#life.abort();
    this.#drop();
  }

  /**
   * Open a connection now; the present one stays until the new one has spoken.
   * @param {number} [doubtedSince] since when the present one may be dead
   */
  open(doubtedSince = Date.now()) {
    if (this.#life.signal.aborted) return;
    clearTimeout(this.#opening);
    this.#next?.drop();
    this.#doubtedSince = doubtedSince;
    if (!this.#state) this.#enter("connecting", new Date());
    this.#next = new Link(this.#url, () => this.#token(), {
      board: (link) => this.#heard(link),
      outOfOrder: () => this.#openSoon(Math.random() * LAG),
      score: (score) => this.#options.onScore?.(score),
      end: (link, code, reason) => this.#lost(link, code, reason),
    });
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
      if (this.#link) this.#silence = link.shows(this.#rows) ? Math.min(2 * this.#silence, SILENCE_MOST) : SILENCE;
      this.#link?.drop();
      [this.#link, this.#next] = [link, null];
      clearTimeout(this.#believing);
      this.#believing = setTimeout(() => this.#show(link), LAG);
    }
    if (this.#state?.name !== "live") this.#enter("live", new Date());
    if (link.version >= this.#version) this.#show(link);
  }

  /** @param {Link} link */
  #show(link) {
    if (this.#life.signal.aborted) return;
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
    if (link.liveSince && now - link.liveSince > SETTLED) [this.#attempts, this.#refused] = [0, false];
    const delay = this.#delay(code);
    this.#refused ||= code === UNAUTHENTICATED;
    if (delay !== null) this.#openSoon(delay);
    const { name, since: before } = this.#state ?? { name: "connecting", since: new Date(now) };
    const retryAt = delay === null ? null : new Date(now + delay);
    this.#enter("disconnected", name === "live" ? new Date(since) : before, retryAt, code, reason);
  }

  /**
   * Until the next attempt; null for none.
   * @param {number} code
   */
  #delay(code) {
    if (code === TOO_MANY) return TOO_MANY_PAUSE * (1 + Math.random());
    const renewable = code === UNAUTHENTICATED && typeof this.#options.token === "function" && !this.#refused;
    if (code >= 4400 && code < 4500 && !renewable) return null;
    return Math.random() * Math.min(BACKOFF_FIRST * 2 ** this.#attempts++, BACKOFF_MOST);
  }

  /**
   * @param {State["name"]} name
   * @param {Date} since
   * @param {Date | null} retryAt
   * @param {number | null} code
   */
  #enter(name, since, retryAt = null, code = null, reason = "") {
    this.#state = Object.freeze({ name, since, retryAt, code, reason });
    this.#options.onState?.(this.#state);
  }

  #tick() {
    const [last, link] = [this.#lastTick, this.#link];
    this.#lastTick = Date.now();
    if (!link || this.#next) return;
    if (this.#lastTick - last > CLOCK_JUMP) this.open(last);
    else if (link.isSilent(this.#silence)) this.open(link.heardAt);
  }

  /** Somebody looks at the page again: don't let them wait for a backoff, or trust a socket that slept. */
  #seen() {
    if (document.visibilityState !== "visible" || this.#next) return;
    if (this.#link ? this.#link.isSilent(FIRST_MESSAGE) : this.#state?.retryAt) this.open(this.#link?.heardAt);
  }
}

/** @param {string | URL} [url] */
function socketUrl(url) {
  const found = url ? new URL(url, globalThis.location?.href) : new URL("../ws/leaderboard", import.meta.url);
  found.protocol = found.protocol.replace("http", "ws");
  return found;
}
