/** The demo's panel for scoring: a session from the server, a button for each action, and the answer.
 *
 * On a board of the rule best or last there is one button, which submits a random score within the board's bounds.
 *
 * @module
 * @import { Definition } from "./boards.js"
 * @typedef {{ token: string, user_id: string, username: string, actions: Record<string, number> }} Session
 */

import { prefix, shown } from "./boards.js";
import { createScores } from "./leaderboard.js";
import { period } from "./periods.js";

const KEPT = "leaderboard-demo-session";
const DEADLINE = 10_000; // milliseconds
const MAX_WAIT = 2_000; // a longer wait is shown
const PLACE_PACE = 2_000; // between two requests for the player's place
const TOO_MANY_PAUSE = 10; // seconds, where a 429 doesn't say

const numbers = new Intl.NumberFormat();

export class Player {
  /** @type {Session | null} */ #session = null;
  /** @type {Promise<void> | null} */ #asking = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #waiting = undefined;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #looking = undefined;
  #scored = 0;
  #scores = createScores({ board: shown, token: (refused) => this.token(refused) });
  #unit = " points";
  #panel;
  #define;
  #entered;

  /**
   * @param {HTMLElement} panel
   * @param {() => Promise<Definition | null>} define the shown board
   * @param {(userId: string) => void} entered is called with the player's id, when it is known and when it changes
   */
  constructor(panel, define, entered) {
    this.#panel = panel;
    this.#define = define;
    this.#entered = entered;
  }

  /** The session's token; null if the server issues none, as the board can be watched without one.
   * @param {boolean} [refused] the service refused the present token
   */
  async token(refused = false) {
    if (refused) this.#session = null;
    if (!this.#session) this.#asking ??= this.#ask(refused).finally(() => (this.#asking = null));
    await this.#asking;
    return this.#session?.token ?? null;
  }

  /**
   * @param {number | bigint} score
   * @param {number} rank
   */
  scored(score, rank) {
    this.#scored += 1;
    this.#show(score, rank);
    this.changed();
  }

  /** The board changed, and with it perhaps the player's rank and the points to the next one. */
  changed() {
    if (this.#session && !document.hidden) this.#looking ??= setTimeout(() => this.#look(), PLACE_PACE);
  }

  /**
   * @param {number | bigint} score
   * @param {number} rank
   * @param {number | bigint} [missing] points to the next rank
   */
  #show(score, rank, missing) {
    const next = missing ? ` · ${numbers.format(missing)} to the next` : "";
    this.#find(".mine").textContent = `${numbers.format(score)}${this.#unit} · rank ${numbers.format(rank)}${next}`;
  }

  /** @param {boolean} refused */
  async #ask(refused) {
    try {
      this.#session = (refused ? null : recall()) ?? (await open());
    } catch {
      this.#session = null; // not reachable: the next connection tries again
    }
    if (this.#session) this.#enter(this.#session, await this.#define());
  }

  /**
   * @param {Session} session
   * @param {Definition | null} board
   */
  #enter({ user_id, username, actions }, board) {
    this.#find("h2 bdi").textContent = username;
    if (this.#panel.hidden) this.#find(".actions").replaceChildren(...this.#buttons(actions, board));
    this.#panel.hidden = false;
    this.#entered(user_id);
    this.#look();
  }

  /** The player's place by the service; a response that a score has overtaken is not shown. */
  async #look() {
    const scored = this.#scored;
    this.#looking = undefined;
    const headers = { Authorization: `Bearer ${await this.token()}` };
    const query = period === null ? "" : `?period=${encodeURIComponent(period)}`;
    const answer = await fetch(`${prefix}api/leaderboard${query}`, { headers }).catch(() => null); // the display is optional
    const { userRank } = answer?.ok ? await answer.json() : {};
    if (scored !== this.#scored) this.changed();
    else if (userRank) this.#show(userRank.score, userRank.rank, userRank.next?.points);
    else if (answer?.ok) this.#find(".mine").textContent = "No points yet"; // also after an epoch
  }

  /**
   * @param {Record<string, number>} actions
   * @param {Definition | null} board
   */
  #buttons(actions, board) {
    if (!board || board.rule === "sum") {
      return Object.entries(actions).map(([type, points]) => this.#button(type, ` +${numbers.format(points)}`, () => ({ actionType: type })));
    }
    this.#unit = "";
    return [this.#button("play_a_round", "", () => ({ score: round(board) }))];
  }

  /**
   * @param {string} type
   * @param {string} gain
   * @param {() => { actionType: string } | { score: number }} action
   */
  #button(type, gain, action) {
    const button = document.createElement("button");
    const mark = document.createElement("span");
    const words = type.replaceAll("_", " ");
    mark.textContent = gain;
    button.type = "button";
    button.dataset.action = type;
    button.append(words.charAt(0).toUpperCase() + words.slice(1), mark);
    button.addEventListener("click", () => this.#waits() || this.#act(action()));
    return button;
  }

  /** @param {{ actionType?: string, score?: number }} action */
  async #act(action) {
    try {
      const { score, rank } = await this.#scores.submit(action, { deadline: DEADLINE, maxWait: MAX_WAIT });
      const reached = action.score === undefined ? "" : `${numbers.format(action.score)} reached. `;
      if (period !== null) return this.#counted(reached);
      this.scored(score, rank);
      this.#say(`${reached}${numbers.format(score)}${this.#unit} now: rank ${numbers.format(rank)}.`);
    } catch (error) {
      this.#refused(error);
    }
  }

  /** The answer's score is not that of the chosen period.
   * @param {string} reached
   */
  #counted(reached) {
    this.changed();
    this.#say(`${reached}Counted.`);
  }

  /** @param {any} error */
  #refused({ status, message, retryAfter }) {
    if (status === 429) this.#wait(Math.ceil((retryAfter ?? 0) / 1000) || TOO_MANY_PAUSE);
    else this.#say(status ? message : "Not sent: the server can’t be reached. Please try again.");
  }

  #waits() {
    return this.#panel.dataset.waiting !== undefined;
  }

  /** Disabled buttons stay focusable, so that a keyboard user keeps the position.
   * @param {number} seconds
   */
  #wait(seconds) {
    const end = Date.now() + seconds * 1000;
    this.#panel.dataset.waiting = "";
    for (const button of this.#panel.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
    const sentence = (/** @type {number} */ left) => `That was fast. The next one counts in ${left} s.`;
    this.#say(sentence(seconds)); // announced once; the countdown is visual only
    this.#find(".countdown").textContent = sentence(seconds);
    clearInterval(this.#waiting); // of several answers, the last one counts
    this.#waiting = setInterval(() => {
      const left = Math.ceil((end - Date.now()) / 1000);
      this.#find(".countdown").textContent = left > 0 ? sentence(left) : "";
      if (left > 0) return;
      clearInterval(this.#waiting);
      delete this.#panel.dataset.waiting;
      for (const button of this.#panel.querySelectorAll("button")) button.removeAttribute("aria-disabled");
      this.#say("Ready when you are.");
    }, 250);
  }

  /** @param {string} text */
  #say(text) {
    this.#find("output").textContent = text;
  }

  /** @param {string} selector */
  #find(selector) {
    return /** @type {HTMLElement} */ (this.#panel.querySelector(selector));
  }
}

/** A random score within the bounds.
 * @param {Definition} board
 */
function round({ bounds: { min, max } = {} }) {
  const low = min ?? Math.min(0, max ?? 0);
  const high = max ?? low + 1_000;
  return low + Math.round((high - low) * Math.random());
}

/** A session from the server, kept for the tab, so that a reload keeps the player.
 * @returns {Promise<Session | null>}
 */
async function open() {
  const answer = await fetch("demo/session", { headers: { Accept: "application/json" } });
  if (!answer.ok) return null;
  const text = await answer.text();
  sessionStorage.setItem(KEPT, text);
  return JSON.parse(text);
}

/** @returns {Session | null} */
function recall() {
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
}
