// A program of Node.js: watches, submits twice under one id, reads its own write, and ends by itself.
import { connectLeaderboard, createScores } from "@leaderboard/client";
import WebSocket from "ws";

const [service, token] = process.argv.slice(2);
const scored = deferred();
const live = deferred();
const shown = deferred();
const connection = connectLeaderboard({
  url: `${service}/ws/leaderboard`,
  WebSocket,
  token: () => token,
  onState: ({ name }) => name === "live" && live.resolve(),
  onBoard: (rows) => rows.some((row) => row?.userId === "node") && shown.resolve(rows.length),
  onScore: ({ newScore }) => scored.resolve(newScore),
});
await live.promise;
const scores = createScores({ url: service, token });
const first = await scores.submit({ actionType: "level_complete", actionId: "n-1" });
const again = await scores.submit({ actionType: "level_complete", actionId: "n-1" });
const player = await scores.player("node");
await Promise.all([shown.promise, scored.promise]);
connection.close();
console.log(JSON.stringify({ first, again, player, scored: await scored.promise }));

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}
