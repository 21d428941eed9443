// A program whose first token expires soon: prints the states until it is live with the second one.
import { connectLeaderboard } from "@leaderboard/client";
import WebSocket from "ws";

const [service, soon, fresh] = process.argv.slice(2);
const states = [];
const connection = connectLeaderboard({
  url: `${service}/ws/leaderboard`,
  WebSocket,
  token: (refused) => (refused ? fresh : soon),
  onState: ({ name, reason }) => {
    states.push([name, reason || null]);
    if (states.length < 4) return;
    connection.close();
    console.log(JSON.stringify(states));
  },
});
