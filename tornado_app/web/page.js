/** The live page: connects the board's data to the page.
 *
 * @module
 */

import { Announcer } from "./announcer.js";
import { Board } from "./board.js";
import { definitions, link, shown } from "./boards.js";
import { connectLeaderboard } from "./leaderboard.js";
import { Player } from "./play.js";
import { Status, clock } from "./status.js";

/** Minimum milliseconds between two redraws, so that changes can be followed; the first change shows at once. */
const PACE = 250;

const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

const announcer = new Announcer(find("#announcer"));
const board = new Board(find("#board tbody"), find("#empty"));
const player = document.querySelector("meta[name=leaderboard-demo]") ? new Player(find("#play"), define, (userId) => board.own(userId)) : null;
const status = new Status(find(".page"), announcer, () => connection.retry());
const draw = paced(PACE, (/** @type {readonly (import("./leaderboard.js").Row | null)[]} */ rows) => {
  board.show(rows);
  announcer.tell("leader", ...leaders(rows));
});

/** @type {number | undefined} */ let seen;
let unit = " points";
/** @type {Promise<import("./boards.js").Definition | null> | undefined} */ let asking;

if (shown !== "main") document.title = `${shown} · ${document.title}`;

const connection = connectLeaderboard({
  board: shown,
  token: player ? (refused) => player.token(refused) : null,
  onState: (state) => {
    status.show(state);
    if (state.name === "live") define();
  },
  onScore: ({ newScore, leaderboardPosition }) => player?.scored(newScore, leaderboardPosition),
  onBoard: (rows, version) => {
    draw(rows);
    player?.changed();
    if (version !== (seen ??= version)) stamp(new Date());
    seen = version;
  },
});

define();

/** The definition of the shown board, once the service has listed its boards; null without one. */
function define() {
  return (asking ??= definitions().then((boards) => {
    if (!boards) asking = undefined; // the next call asks again
    return boards && present(boards);
  }));
}

/** @param {readonly import("./boards.js").Definition[]} boards */
function present(boards) {
  const definition = boards.find(({ name }) => name === shown) ?? null;
  link(find("#boards"), boards);
  if (definition) {
    board.order(definition.order);
    unit = definition.rule === "sum" ? unit : "";
  } else {
    connection.close();
    find("#status").hidden = find("#banner").hidden = true;
    find("#empty p").textContent = `There is no board ${shown}.`;
    board.show([]);
  }
  return definition;
}

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
  const score = `${board.format(first[0].score)}${unit}`;
  const ids = first.map((row) => row?.userId).join(" ");
  return [ids, first.length > 1 ? `${names} share the lead with ${score}.` : `${names} leads with ${score}.`];
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
