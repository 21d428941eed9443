/**
 * @param {ScoresOptions} [options]
 * @returns {Scores}
 * @throws {TypeError} Without a `url` where there is no page.
 */
export function createScores(options?: ScoresOptions): Scores;
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
    constructor(message: string, { status, code, retryAfter, cause }: {
        status: number;
        code: string;
        retryAfter?: number | null | undefined;
        cause?: unknown;
    });
    status: number;
    code: string;
    retryAfter: number | null;
    /** @type {string | null} Of a submission. */
    actionId: string | null;
}
export class Scores {
    /** @param {ScoresOptions} options */
    constructor({ url, board, period, token, fetch }: ScoresOptions);
    /** The newest version of the board that an answer named; 0 before. */
    version: number;
    /**
     * Submit an action, and repeat it under the same id until it is answered.
     * @param {Action} action
     * @param {SubmitOptions} [options]
     * @returns {Promise<Submitted>}
     * @throws {LeaderboardError} The refusal, or the last failure before the deadline. An abort throws the signal's reason.
     */
    submit(action: Action, { signal, deadline, maxWait, onRetry }?: SubmitOptions): Promise<Submitted>;
    /**
     * The top 10.
     * @param {ReadOptions} [options]
     * @returns {Promise<Board>}
     */
    leaderboard(options?: ReadOptions): Promise<Board>;
    /**
     * One player.
     * @param {string} userId
     * @param {ReadOptions} [options]
     * @returns {Promise<Player>}
     */
    player(userId: string, options?: ReadOptions): Promise<Player>;
    #private;
}
export type Sending = {
    method: string;
    path: string;
    headers: Record<string, string>;
    body?: string;
};
export type Answer = {
    headers: Headers;
    body: any;
};
export type ScoresOptions = {
    /**
     * The service, `https://board.example/`. By default the page's own origin; for
     * `/static/leaderboard.js`, the service that served that module.
     */
    url?: string | URL | undefined;
    /**
     * Name of the board, by default `main`.
     */
    board?: string | undefined;
    /**
     * Of reads: name of a period of the board, or `all` for all time. By default `leaderboard`
     * reads what the board shows, and `player` all time.
     */
    period?: string | undefined;
    /**
     * The player's token. Submissions need it, reads do not.
     */
    token?: TokenSource | undefined;
    /**
     * Instead of the global one.
     */
    fetch?: typeof fetch | undefined;
};
/**
 * Either `actionType`, or `points`, or `score`, or a `proof`, which has them.
 */
export type Action = {
    /**
     * A row of the service's table of actions; its points count. Beside `score`, any text.
     */
    actionType?: string | undefined;
    /**
     * Points to add, an integer of 1 or more.
     */
    points?: number | bigint | undefined;
    /**
     * The reached score, an integer, for a board of the rule best or last.
     */
    score?: number | bigint | undefined;
    /**
     * Stored with `score` and shown in its row: public, up to 512 bytes.
     */
    metadata?: Record<string, unknown> | undefined;
    /**
     * Makes the action count once, 1 to 128 visible ASCII characters; by default that of the
     * proof, else a random UUID. Give it where the app may submit the same action again, for example after a reload.
     */
    actionId?: string | undefined;
    /**
     * The game server's action proof, forwarded as `Action-Proof`.
     */
    proof?: string | undefined;
    /**
     * Only with a game server's token, which may write for any player.
     */
    userId?: string | undefined;
    /**
     * The solved captcha's token, where the service asks for one.
     */
    captcha?: string | undefined;
};
export type SubmitOptions = {
    signal?: AbortSignal | undefined;
    /**
     * Milliseconds until the last attempt ends, 30,000 by default.
     */
    deadline?: number | undefined;
    /**
     * The longest pause, in milliseconds, to wait for; a longer `Retry-After` is an error at
     * once. By default the deadline.
     */
    maxWait?: number | undefined;
    /**
     * Called before each pause.
     */
    onRetry?: ((error: LeaderboardError, delay: number) => void) | undefined;
};
/**
 * Frozen.
 */
export type Submitted = {
    /**
     * The player's score after the action.
     */
    score: number | bigint;
    /**
     * Competition rank.
     */
    rank: number;
    /**
     * Whether the score is better than before; null after an `actionType`.
     */
    improved: boolean | null;
    /**
     * The score in the open epoch of each period of the
     * board, by name; null after an `actionType`.
     */
    periods: Readonly<Record<string, EpochScore>> | null;
    actionId: string;
    /**
     * The action had been counted before; this answer is the stored one.
     */
    replayed: boolean;
    /**
     * The board's version that shows it; null where the service does not send one.
     */
    version: number | null;
};
export type EpochScore = {
    /**
     * The first is 1.
     */
    epoch: number;
    score: number | bigint;
    /**
     * Whether it is better than before, or the first in this epoch.
     */
    improved: boolean;
};
export type ReadOptions = {
    signal?: AbortSignal | undefined;
    /**
     * Milliseconds, 5,000 by default.
     */
    deadline?: number | undefined;
    /**
     * Wait for at least this version, by default the newest that this object has seen.
     */
    version?: number | undefined;
};
/**
 * Frozen.
 */
export type Board = {
    rows: readonly Row[];
    /**
     * The token's player, where known.
     */
    own: {
        rank: number;
        score: number | bigint;
    } | null;
    /**
     * How many players are on the board.
     */
    total: number;
    /**
     * RFC 3339.
     */
    lastUpdated: string | null;
    version: number | null;
    /**
     * It is older than asked for: the server lags, and the deadline has passed.
     */
    stale: boolean;
};
/**
 * Frozen.
 */
export type Player = {
    userId: string;
    username: string;
    avatarUrl: string | null;
    score: number | bigint;
    rank: number;
    /**
     * RFC 3339.
     */
    updatedAt: string;
    version: number | null;
    /**
     * As for the board.
     */
    stale: boolean;
};
import type { TokenSource } from "./connection.js";
import type { Row } from "./connection.js";
