/**
 * Submit scores so that each counts once, and read the board so that it shows them.
 *
 * **Which API.** An action (`actionType`) goes to API C, `POST /api/scores/update`: the points are the service's own for
 * that type, the id is part of the body, the answer has the rank. Points, and a score on a board of the rule best or
 * last, go to API F, `POST /api/v1/scores`, under an `Idempotency-Key`; its answer has the scores in periods, too. Both
 * create an unknown player; B and E do not, and D returns less than C.
 *
 * **Sent again under the same id.** A submission without an answer may have been counted. It is sent again with the same
 * id, which the service counts once: after no answer, 429, 500, 502, 503 and 504; after a random pause of up to 0.5 s,
 * 1 s, 2 s … 8 s, or after `Retry-After`; until the deadline. After 401 it is sent once more if `token` is a function.
 *
 * **Its own writes are read.** The service answers with the board's version that shows a write (`Board-Version`). Reads
 * ask for at least the newest version seen (`If-Board-Version`), over any number of servers.
 *
 * @module
 * @import { Row, TokenSource } from "./connection.js"
 */

import { object } from "./json.js";

const DEADLINE = 30_000; // all times are milliseconds
const READ_DEADLINE = 5_000;
const ATTEMPT = 10_000;
const BACKOFF_FIRST = 500;
const BACKOFF_MAX = 8_000;
const STALE_PAUSE = 200;
const PASSING = new Set([0, 429, 500, 502, 503, 504]);

/**
 * @typedef {object} ScoresOptions
 * @property {string | URL} [url] The service, `https://board.example/`. By default the page's own origin; for
 *   `/static/leaderboard.js`, the service that served that module.
 * @property {string} [board] Name of the board, by default `main`.
 * @property {string} [period] Of reads: name of a period of the board, or `all` for all time. By default `leaderboard`
 *   reads what the board shows, and `player` all time.
 * @property {TokenSource} [token] The player's token. Submissions need it, reads do not.
 * @property {typeof globalThis.fetch} [fetch] Instead of the global one.
 *
 * @typedef {object} Action Either `actionType`, or `points`, or `score`, or a `proof`, which has them.
 * @property {string} [actionType] A row of the service's table of actions; its points count. Beside `score`, any text.
 * @property {number | bigint} [points] Points to add, an integer of 1 or more.
 * @property {number | bigint} [score] The reached score, an integer, for a board of the rule best or last.
 * @property {Record<string, unknown>} [metadata] Stored with `score` and shown in its row: public, up to 512 bytes.
 * @property {string} [actionId] Makes the action count once, 1 to 128 visible ASCII characters; by default that of the
 *   proof, else a random UUID. Give it where the app may submit the same action again, for example after a reload.
 * @property {string} [proof] The game server's action proof, forwarded as `Action-Proof`.
 * @property {string} [userId] Only with a game server's token, which may write for any player.
 * @property {string} [captcha] The solved captcha's token, where the service asks for one.
 *
 * @typedef {object} SubmitOptions
 * @property {AbortSignal} [signal]
 * @property {number} [deadline] Milliseconds until the last attempt ends, 30,000 by default.
 * @property {number} [maxWait] The longest pause, in milliseconds, to wait for; a longer `Retry-After` is an error at
 *   once. By default the deadline.
 * @property {(error: LeaderboardError, delay: number) => void} [onRetry] Called before each pause.
 *
 * @typedef {object} Submitted Frozen.
 * @property {number | bigint} score The player's score after the action.
 * @property {number} rank Competition rank.
 * @property {boolean | null} improved Whether the score is better than before; null after an `actionType`.
 * @property {Readonly<Record<string, EpochScore>> | null} periods The score in the open epoch of each period of the
 *   board, by name; null after an `actionType`.
 * @property {string} actionId
 * @property {boolean} replayed The action had been counted before; this answer is the stored one.
 * @property {number | null} version The board's version that shows it; null where the service does not send one.
 *
 * @typedef {object} EpochScore
 * @property {number} epoch The first is 1.
 * @property {number | bigint} score
 * @property {boolean} improved Whether it is better than before, or the first in this epoch.
 *
 * @typedef {object} ReadOptions
 * @property {AbortSignal} [signal]
 * @property {number} [deadline] Milliseconds, 5,000 by default.
 * @property {number} [version] Wait for at least this version, by default the newest that this object has seen.
 *
 * @typedef {object} Board Frozen.
 * @property {readonly Row[]} rows
 * @property {{ rank: number, score: number | bigint } | null} own The token's player, where known.
 * @property {number} total How many players are on the board.
 * @property {string | null} lastUpdated RFC 3339.
 * @property {number | null} version
 * @property {boolean} stale It is older than asked for: the server lags, and the deadline has passed.
 *
 * @typedef {object} Player Frozen.
 * @property {string} userId
 * @property {string} username
 * @property {string | null} avatarUrl
 * @property {number | bigint} score
 * @property {number} rank
 * @property {string} updatedAt RFC 3339.
 * @property {number | null} version
 * @property {boolean} stale As for the board.
 */

/** A submission or a read that failed; after a submission without an answer, submit again with the same `actionId`. */
export class LeaderboardError extends Error {
  /**
   * @param {string} message
   * @param {object} facts
   * @param {number} facts.status The HTTP status; 0 without a usable answer.
   * @param {string} facts.code The service's error code, `network_error`, `timeout` or `unexpected_answer`.
   * @param {number | null} [facts.retryAfter] Milliseconds.
   * @param {unknown} [facts.cause]
   */
  constructor(message, { status, code, retryAfter = null, cause }) {
    super(message, { cause });
    this.name = "LeaderboardError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
    /** @type {string | null} Of a submission. */
    this.actionId = null;
  }
}

/**
 * @param {ScoresOptions} [options]
 * @returns {Scores}
 * @throws {TypeError} Without a `url` where there is no page.
 */
export function createScores(options = {}) {
  return new Scores(options);
}

export class Scores {
  /** The newest version of the board that an answer named; 0 before. */
  version = 0;
  #base;
  #query;
  #token;
  #fetch;

  /** @param {ScoresOptions} options */
  constructor({ url = globalThis.location?.origin, board = "main", period, token = null, fetch }) {
    if (!url) throw new TypeError("leaderboard: give the service's address as `url`: there is no page here.");
    this.#base = String(url).replace(/\/*$/, "/") + (board === "main" ? "" : `boards/${encodeURIComponent(board)}/`);
    this.#query = period === undefined ? "" : `?period=${encodeURIComponent(period)}`;
    this.#token = token;
    this.#fetch = fetch ?? ((/** @type {string} */ address, /** @type {RequestInit} */ init) => globalThis.fetch(address, init));
  }

  /**
   * Submit an action, and repeat it under the same id until it is answered.
   * @param {Action} action
   * @param {SubmitOptions} [options]
   * @returns {Promise<Submitted>}
   * @throws {LeaderboardError} The refusal, or the last failure before the deadline. An abort throws the signal's reason.
   */
  async submit(action, { signal, deadline = DEADLINE, maxWait = deadline, onRetry } = {}) {
    const { actionId, request, read } = submission(action);
    const end = Date.now() + deadline;
    let refused = false;
    for (let attempt = 0; ; attempt++) {
      /** @type {Answer | LeaderboardError} */
      const found = await this.#send(request, { signal, end, refused }).catch(failure);
      if (!(found instanceof LeaderboardError)) return Object.freeze({ ...read(found.body), actionId, ...this.#facts(found) });
      found.actionId = actionId;
      const delay = this.#delay(found, attempt, refused);
      refused = found.status === 401;
      if (delay === null || delay > maxWait || Date.now() + delay >= end) throw found;
      onRetry?.(found, delay);
      await pause(delay, signal);
    }
  }

  /**
   * The top 10.
   * @param {ReadOptions} [options]
   * @returns {Promise<Board>}
   */
  leaderboard(options) {
    return this.#read("api/leaderboard", options, (body) => ({
      rows: Object.freeze(body.leaderboard.map((/** @type {Row} */ row) => Object.freeze(row))),
      own: body.userRank ?? null,
      total: body.totalUsers,
      lastUpdated: body.lastUpdated,
    }));
  }

  /**
   * One player.
   * @param {string} userId
   * @param {ReadOptions} [options]
   * @returns {Promise<Player>}
   */
  player(userId, options) {
    return this.#read(`api/v1/players/${encodeURIComponent(userId)}`, options, (body) => ({
      userId: body.user_id,
      username: body.username,
      avatarUrl: body.avatar_url,
      score: body.score,
      rank: body.rank,
      updatedAt: body.updated_at,
    }));
  }

  /**
   * @template T
   * @param {string} path
   * @param {ReadOptions | undefined} options
   * @param {(body: any) => T} render
   * @returns {Promise<T & { version: number | null, stale: boolean }>}
   */
  async #read(path, { signal, deadline = READ_DEADLINE, version = this.version } = {}, render) {
    const end = Date.now() + deadline;
    /** @type {Record<string, string>} */ const headers = version ? { "If-Board-Version": String(version) } : {};
    let refused = false;
    for (let attempt = 0; ; attempt++) {
      /** @type {Answer | LeaderboardError} */
      const found = await this.#send({ method: "GET", path: path + this.#query, headers }, { signal, end, refused }).catch(failure);
      let delay;
      if (found instanceof LeaderboardError) {
        delay = this.#delay(found, attempt, refused);
        refused = found.status === 401;
        if (delay === null || Date.now() + delay >= end) throw found;
      } else {
        const facts = this.#facts(found);
        const stale = facts.version !== null && facts.version < version;
        delay = STALE_PAUSE * Math.random();
        if (!stale || Date.now() + delay >= end) {
          if (stale) this.version = facts.version ?? 0; // it stays older: the database was restored
          return Object.freeze({ ...render(found.body), version: facts.version, stale });
        }
      }
      await pause(delay, signal);
    }
  }

  /** The delay before the next attempt; null if it would fail again.
   * @param {LeaderboardError} error
   * @param {number} attempt
   * @param {boolean} refused whether the attempt before failed by its token
   */
  #delay({ status, retryAfter }, attempt, refused) {
    if (status === 401) return typeof this.#token === "function" && !refused ? 0 : null;
    if (!PASSING.has(status)) return null;
    if (retryAfter !== null) return retryAfter + Math.random() * BACKOFF_FIRST; // many clients get the same Retry-After
    return Math.random() * Math.min(BACKOFF_FIRST * 2 ** attempt, BACKOFF_MAX);
  }

  /** @param {Answer} answer */
  #facts({ headers }) {
    const version = Number(headers.get("Board-Version") ?? NaN);
    if (version > this.version) this.version = version;
    return { version: Number.isFinite(version) ? version : null, replayed: headers.get("Idempotent-Replay") === "true" };
  }

  /**
   * One attempt; a refusal, no answer, and an answer that is not JSON are errors.
   * @param {Sending} request
   * @param {{ signal: AbortSignal | undefined, end: number, refused: boolean }} limits
   * @returns {Promise<Answer>}
   */
  async #send({ method, path, headers, body }, { signal, end, refused }) {
    if (signal?.aborted) throw signal.reason;
    const token = typeof this.#token === "function" ? await this.#token(refused) : this.#token;
    const attempt = new AbortController(); // AbortSignal.any and .timeout are missing in React Native
    const timeout = setTimeout(() => attempt.abort(), Math.min(ATTEMPT, Math.max(0, end - Date.now())));
    const abort = () => attempt.abort();
    signal?.addEventListener("abort", abort);
    const fetch = this.#fetch; // a browser's own refuses to be called as a method
    try {
      const answer = await fetch(this.#base + path, {
        method,
        headers: { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) },
        body,
        credentials: "omit",
        cache: method === "GET" ? "no-cache" : "no-store",
        signal: attempt.signal,
      });
      return usable(answer, await answer.text());
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof LeaderboardError) throw error;
      const code = attempt.signal.aborted ? "timeout" : "network_error";
      throw new LeaderboardError(`The leaderboard did not answer (${code}).`, { status: 0, code, cause: error });
    } finally {
      clearTimeout(timeout);
      signal?.removeEventListener("abort", abort);
    }
  }
}

/**
 * @typedef {{ method: string, path: string, headers: Record<string, string>, body?: string }} Sending
 * @typedef {{ headers: Headers, body: any }} Answer
 */

/**
 * @param {Response} answer
 * @param {string} text
 * @returns {Answer}
 */
function usable({ ok, status, headers }, text) {
  const body = object(text);
  if (ok && body) return { headers, body };
  // The page of a proxy, or of a network that wants a login, is not the service's answer, even with status 200.
  const { error: code = "unexpected_answer", message = `The answer with status ${status} is not the leaderboard's.` } = body ?? {};
  throw new LeaderboardError(message, { status: ok ? 0 : status, code, retryAfter: retryAfter(headers) });
}

/**
 * Milliseconds; seconds or a date on the wire.
 * @param {Headers} headers
 */
function retryAfter(headers) {
  const text = headers.get("Retry-After");
  if (!text) return null;
  const delay = /^\d+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now();
  return Number.isNaN(delay) ? null : Math.max(0, delay);
}

/**
 * @param {unknown} reason
 * @returns {LeaderboardError}
 */
function failure(reason) {
  if (reason instanceof LeaderboardError) return reason;
  throw reason;
}

/**
 * @param {number} delay
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>}
 */
function pause(delay, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, delay);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** The request of an action, and the function that reads its answer.
 * @param {Action} action
 * @returns {{ actionId: string, request: Sending, read: (body: any) => Pick<Submitted, "score" | "rank" | "improved" | "periods"> }}
 */
function submission({ actionType, points, score, metadata, actionId, proof, userId, captcha }) {
  const given = actionType !== undefined || points !== undefined || score !== undefined;
  const proven = proof && !(actionId && given) ? claims(proof) : {};
  const id = actionId ?? proven.jti ?? uuid();
  const value = score ?? (given ? undefined : proven.scr);
  const type = actionType ?? (points === undefined && value === undefined ? proven.act : undefined);
  if (points !== undefined ? type !== undefined || value !== undefined : type === undefined && value === undefined) {
    throw new TypeError("leaderboard: give an action one of `actionType`, `points` and `score`.");
  }
  /** @type {Record<string, string>} */ const headers = { "Content-Type": "application/json" };
  if (proof) headers["Action-Proof"] = proof;
  if (captcha) headers["Captcha-Token"] = captcha;
  if (type !== undefined && value === undefined) {
    const player = userId === undefined ? "" : `,"user_id":${JSON.stringify(userId)}`;
    const body = `{"actionId":${JSON.stringify(id)},"actionType":${JSON.stringify(type)}${player}}`;
    const read = (/** @type {any} */ { newScore, leaderboardPosition }) => ({ score: newScore, rank: leaderboardPosition, improved: null, periods: null });
    return { actionId: id, request: { method: "POST", path: "api/scores/update", headers, body }, read };
  }
  headers["Idempotency-Key"] = id;
  const rest = JSON.stringify({ action_type: type, user_id: userId, metadata }).slice(1);
  const submitted = value === undefined ? `"points":${points}` : `"score":${value}`; // a bigint is written with all its digits
  const body = `{${submitted}${rest === "}" ? "" : ","}${rest}`;
  const read = (/** @type {any} */ { score: total, rank, improved, periods }) => ({ score: total, rank, improved, periods: Object.freeze(periods) });
  return { actionId: id, request: { method: "POST", path: "api/v1/scores", headers, body }, read };
}

/** The claims of a proof, unverified: the service verifies it. Its id and type must equal the request's.
 * @param {string} proof
 * @returns {{ act?: string, jti?: string, scr?: number | bigint }}
 */
function claims(proof) {
  try {
    const payload = proof.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return object(globalThis.atob(payload)) ?? {};
  } catch (cause) {
    throw new TypeError("leaderboard: the action proof cannot be read; give `actionId` and `actionType`, or `score`, beside it.", { cause });
  }
}

/** A random UUID; `crypto.randomUUID` is missing on plain HTTP, and `crypto` in React Native. */
function uuid() {
  const { crypto } = globalThis;
  if (crypto?.randomUUID) return crypto.randomUUID();
  const bytes = new Uint8Array(16);
  if (crypto?.getRandomValues) crypto.getRandomValues(bytes);
  else for (let at = 0; at < 16; at++) bytes[at] = 256 * Math.random(); // unique among one player's ids is enough
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
