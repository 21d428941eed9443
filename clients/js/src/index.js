/**
 * A live leaderboard in JavaScript: watch the board, submit scores, read.
 *
 * @module
 */

export * from "./connection.js";
export * from "./scores.js";
