/** The live page: connects the board's data to the page.
 *
 * @module
 */

import { Announcer } from "./announcer.js";
import { Board } from "./board.js";
import { connectLeaderboard } from "./leaderboard.js";
import { Player } from "./play.js";
import { Status, clock } from "./status.js";

/** Minimum milliseconds between two redraws, so that changes can be followed; the first change shows at once. */
const PACE = 250;

const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

const announcer = new Announcer(find("#announcer"));
const board = new Board(find("#board tbody"), find("#empty"));
const player = document.querySelector("meta[name=leaderboard-demo]") ? new Player(find("#play"), (userId) => board.own(userId)) : null;
const status = new Status(find(".page"), announcer, () => connection.retry());
const draw = paced(PACE, (/** @type {readonly (import("./leaderboard.js").Row | null)[]} */ rows) => {
  board.show(rows);
  announcer.tell("leader", ...leaders(rows));
});

/** @type {number | undefined} */ let seen;

const connection = connectLeaderboard({
  token: player ? (refused) => player.token(refused) : null,
  onState: (state) => status.show(state),
  onScore: ({ newScore, leaderboardPosition }) => player?.scored(newScore, leaderboardPosition),
  onBoard: (rows, version) => {
    draw(rows);
    player?.changed();
    if (version !== (seen ??= version)) stamp(new Date());
    seen = version;
  },
});

/** @param {Date} when the shown board last changed */
function stamp(when) {
  find("#changed").hidden = false;
  Object.assign(find("#changed time"), { dateTime: when.toISOString(), textContent: clock(when) });
}

/**
 * The leading players' ids, and a sentence about them.
 * @param {readonly (import("./leaderboard.js").Row | null)[]} rows
 * @returns {[string, string]}
 */
function leaders(rows) {
  const first = rows.filter((row) => row?.rank === 1);
  if (!first[0]) return ["", "The board is empty."];
  // Isolates keep a name's direction from spreading, as <bdi> does where there are elements.
  const names = new Intl.ListFormat("en").format(first.map((row) => `\u2068${row?.username}\u2069`));
  const points = `${board.format(first[0].score)} points`;
  const ids = first.map((row) => row?.userId).join(" ");
  return [ids, first.length > 1 ? `${names} share the lead with ${points}.` : `${names} leads with ${points}.`];
}

/** Calls `act` in an animation frame, at most once in `pace` milliseconds, with the newest argument.
 * @template T
 * @param {number} pace
 * @param {(value: T) => void} act
 * @returns {(value: T) => void}
 */
function paced(pace, act) {
  let due = 0;
  /** @type {{ value: T } | null} */ let waiting = null;
  const run = () => {
    const { value } = /** @type {{ value: T }} */ (waiting);
    waiting = null;
    due = performance.now() + pace;
    act(value);
  };
  return (value) => {
    if (!waiting) setTimeout(() => requestAnimationFrame(run), Math.max(0, due - performance.now()));
    waiting = { value };
  };
}
