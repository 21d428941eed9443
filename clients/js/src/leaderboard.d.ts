/**
 * As in the package; `url` is by default `/ws/leaderboard` of the service that served this module.
 * @param {ConnectionOptions} [options]
 * @returns {Connection}
 */
export function connectLeaderboard(options?: client.ConnectionOptions): client.Connection;
/**
 * As in the package; `url` is by default the service that served this module.
 * @param {ScoresOptions} [options]
 * @returns {client.Scores}
 */
export function createScores(options?: client.ScoresOptions): client.Scores;
export * from "./index.js";
import * as client from "./index.js";
