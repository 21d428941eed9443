/**
 * Connect to the live top 10, and stay connected until closed.
 * @param {ConnectionOptions} [options]
 * @returns {Connection}
 * @throws {TypeError} Without a `url` where there is no page, or without a `WebSocket` where there is no global one.
 */
export function connectLeaderboard(options?: ConnectionOptions): Connection;
/**
 * One position; frozen.
 */
export type Row = {
    userId: string;
    username: string;
    avatarUrl: string | null;
    /**
     * A bigint where a number would not be exact, beyond 2^53.
     */
    score: number | bigint;
    /**
     * Competition rank: 1, 2, 2, 4.
     */
    rank: number;
};
/**
 * Frozen.
 */
export type State = {
    /**
     * `connecting` only until the first success or failure.
     */
    name: "connecting" | "live" | "disconnected";
    /**
     * Of `disconnected`: since when the board may be out of date.
     */
    since: Date;
    /**
     * When the next attempt starts by itself.
     */
    retryAt: Date | null;
    /**
     * No attempt follows by itself: call `retry()` after the cause is removed.
     */
    final: boolean;
    /**
     * Why it is disconnected: a WebSocket close code.
     */
    code: number | null;
    /**
     * With a 44xx the service's error code, for example `origin_not_allowed`.
     */
    reason: string;
    /**
     * The cause and what to change, for a developer; empty where nothing needs to change.
     */
    message: string;
};
/**
 * A change of the player's own score.
 */
export type ScoreUpdate = {
    newScore: number | bigint;
    /**
     * Competition rank, at any depth.
     */
    leaderboardPosition: number;
    /**
     * Points since the last such message.
     */
    change: number | bigint;
};
/**
 * The open epoch of the period; frozen.
 */
export type Epoch = {
    period: string;
    /**
     * Number, from 1.
     */
    epoch: number;
    /**
     * `ending` in the last minute of an epoch that is longer.
     */
    state: "open" | "ending";
    /**
     * By the service's clock; null while it is not known.
     */
    end: Date | null;
    /**
     * Milliseconds until the end, when the message came: for a countdown, as the clock
     * of a visitor can be wrong.
     */
    remaining: number | null;
};
export type Token = string | null;
/**
 * A function is called at every
 *  connection; `refused`: the service did not accept the last token; return a fresh one.
 */
export type TokenSource = Token | ((refused: boolean) => Token | Promise<Token>);
/**
 * The standard class, or that of the package `ws`.
 */
export type WebSocketClass = new (url: string) => WebSocketLike;
export type WebSocketLike = {
    addEventListener: (type: any, listener: (event: any) => void) => void;
    send: (data: string) => void;
    close: () => void;
};
export type ConnectionOptions = {
    /**
     * The socket, `wss://board.example/ws/leaderboard`. By default `/ws/leaderboard` of the
     * page's own origin; for `/static/leaderboard.js`, of the service that served that module.
     */
    url?: string | URL | undefined;
    /**
     * Name of the board, by default `main`.
     */
    board?: string | undefined;
    /**
     * Name of a period of the board, or `all` for all time; by default what the board shows.
     */
    period?: string | undefined;
    /**
     * Sent as the first message, never in the URL.
     */
    token?: TokenSource | undefined;
    /**
     * `null` is an empty position.
     */
    onBoard?: ((rows: readonly (Row | null)[], version: number) => void) | undefined;
    onState?: ((state: State) => void) | undefined;
    /**
     * Needs a token.
     */
    onScore?: ((score: ScoreUpdate) => void) | undefined;
    /**
     * Needs `period`, and a service that announces epochs: after each
     * connection, a minute before the end, when the end changes, and when the next epoch has begun.
     */
    onPeriod?: ((epoch: Epoch) => void) | undefined;
    /**
     * For a runtime without a global WebSocket, as Node.js 20.
     */
    WebSocket?: WebSocketClass | undefined;
};
export type Connection = {
    state: State;
    /**
     * For good.
     */
    close: () => void;
    /**
     * At once, also after a refusal.
     */
    retry: () => void;
};
