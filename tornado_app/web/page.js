/** The live page: connects the board's data to the page.
 *
 * @module
 */

import { Announcer } from "./announcer.js";
import { Board } from "./board.js";
import { definitions, link, shown } from "./boards.js";
import { connectLeaderboard } from "./leaderboard.js";
import { Periods, isResult, period, result } from "./periods.js";
import { Player } from "./play.js";
import { Status, clock } from "./status.js";

/** Minimum milliseconds between two redraws, so that changes can be followed; the first change shows at once. */
const PACE = 250;

/** Milliseconds until a result, which has no connection, is tried again. */
const RETRY = 5_000;

const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));

const announcer = new Announcer(find("#announcer"));
const board = new Board(find("#board tbody"), find("#empty"));
const periods = new Periods(find("#periods"), (own) => (isResult ? presentResult(own) : presentPeriod(own)));
const player = !isResult && document.querySelector("meta[name=leaderboard-demo]") ? new Player(find("#play"), define, (userId) => board.own(userId)) : null;
const status = new Status(find(".page"), announcer, () => connection?.retry());
const draw = paced(PACE, (/** @type {readonly (import("./leaderboard.js").Row | null)[]} */ rows) => {
  board.show(rows);
  announcer.tell("leader", ...leaders(rows));
});

/** @type {number | undefined} */ let seen;
let full = false;
let unit = " points";
/** @type {Promise<import("./boards.js").Definition | null> | undefined} */ let asking;

document.title = [isResult ? `${period}: last result` : period === "all" ? null : period, shown === "main" ? null : shown, document.title].filter(Boolean).join(" · ");

const connection = isResult ? null : connectLeaderboard({
  board: shown,
  period: period ?? undefined,
  token: player ? (refused) => player.token(refused) : null,
  onState: (state) => {
    status.show(state);
    if (state.name === "live") define();
  },
  onPeriod: (epoch) => {
    periods.announced(epoch);
    begun(epoch.period, epoch.epoch);
  },
  onScore: ({ newScore, leaderboardPosition }) => player?.scored(newScore, leaderboardPosition),
  onBoard: (rows, version) => {
    if (full && !rows.some(Boolean)) periods.emptied();
    full = rows.some(Boolean);
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
    if (!boards && isResult) setTimeout(define, RETRY);
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
    periods.read();
  } else absent(`There is no board ${shown}.`);
  return definition;
}

/** @param {string} text instead of the board */
function absent(text) {
  connection?.close();
  find("#status").hidden = find("#banner").hidden = true;
  find("#empty p").textContent = text;
  board.show([]);
}

/** @param {import("./periods.js").Period | null} own the shown period, of a live board */
function presentPeriod(own) {
  if (period !== null && period !== "all" && !own) absent(`There is no period ${period}.`);
  else if (own?.current) begun(own.name, own.current.epoch);
}

/**
 * @param {string} name of the shown period
 * @param {number} epoch
 */
function begun(name, epoch) {
  announcer.tell("epoch", String(epoch), `${name} has begun again.`);
}

/** @param {import("./periods.js").Period | null} own the period whose last result is shown */
async function presentResult(own) {
  const epoch = own?.previous;
  if (!own || !epoch) return absent(own ? `${period} has no result yet.` : `There is no period ${period}.`);
  const isFinal = epoch.state === "sealed";
  const rows = isFinal ? await result(own.name, epoch) : [];
  if (!rows) return periods.readSoon();
  status.name(isFinal ? "sealed" : "closing");
  find("#status").hidden = false;
  find("#empty p").textContent = isFinal ? "No player scored." : "The result is not final yet. It appears here by itself.";
  board.show(rows);
  find("#board caption").textContent = "The ten best players, best first. They do not change.";
  find("#changed").hidden = false;
  find("#changed").textContent = span(new Date(epoch.start), new Date(epoch.end ?? epoch.start));
  announcer.tell("result", `${epoch.epoch} ${epoch.state}`, isFinal ? "The result is final." : `A new result of ${period} is not final yet.`);
}

/** @param {Date} when the shown board last changed */
function stamp(when) {
  find("#changed").hidden = false;
  Object.assign(find("#changed time"), { dateTime: when.toISOString(), textContent: clock(when) });
}

/** The time between two dates, for people.
 * @param {Date} start
 * @param {Date} end
 */
function span(start, end) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).formatRange(start, end);
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
