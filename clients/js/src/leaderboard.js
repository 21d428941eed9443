/**
 * The module that the service itself serves, for a page without a build step:
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
 * As the npm package, but the addresses are by default those of the service that this module came from. That needs
 * `import.meta`, which React Native does not parse and bundlers rewrite, so the package has another main module.
 *
 * @module
 * @import { Connection, ConnectionOptions, ScoresOptions } from "./index.js"
 */

import * as client from "./index.js";

export * from "./index.js";

/**
 * As in the package; `url` is by default `/ws/leaderboard` of the service that served this module.
 * @param {ConnectionOptions} [options]
 * @returns {Connection}
 */
export function connectLeaderboard(options = {}) {
  const { url = new URL("../ws/leaderboard", import.meta.url) } = options;
  return client.connectLeaderboard({ ...options, url });
}

/**
 * As in the package; `url` is by default the service that served this module.
 * @param {ScoresOptions} [options]
 * @returns {client.Scores}
 */
export function createScores(options = {}) {
  const { url = new URL("../", import.meta.url) } = options;
  return client.createScores({ ...options, url });
}
