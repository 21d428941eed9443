// An application of another origin than the service: its address and a token come in the page's own.
import { type Row, type State, connectLeaderboard, createScores, LeaderboardError } from "@leaderboard/client";
import { LiveLeaderboard } from "@leaderboard/client/element";

const given = new URLSearchParams(location.hash.slice(1));
const service = given.get("service") ?? "";
const token = given.get("token") ?? "";

const seen: { rows: readonly (Row | null)[]; states: State["name"][]; scores: (number | bigint)[] } = { rows: [], states: [], scores: [] };
const connection = connectLeaderboard({
  url: new URL("ws/leaderboard", service),
  token: async (refused) => (refused ? null : token),
  onBoard: (rows) => (seen.rows = rows),
  onState: ({ name }) => seen.states.push(name),
  onScore: ({ newScore }) => seen.scores.push(newScore),
});

const element = document.createElement("live-leaderboard") as LiveLeaderboard;
element.setAttribute("url", new URL("ws/leaderboard", service).href);
element.labels = { player: "Name" };
document.body.append(element);

const scores = createScores({ url: service, token });

async function submit(points: number, actionId: string) {
  const done = await scores.submit({ points, actionId });
  const { rows, own, stale } = await scores.leaderboard();
  return { ...done, stale, own: own?.score ?? null, first: rows[0]?.username ?? null };
}

async function refused() {
  try {
    return await scores.submit({ actionType: "no_such_type" });
  } catch (error) {
    return error instanceof LeaderboardError ? [error.status, error.code] : null;
  }
}

Object.assign(window, { seen, submit, refused, connection });
