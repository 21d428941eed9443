/** Shows whether the board is live: a word beside the title, and a banner after a while without a connection.
 *
 * @module
 * @import { Announcer } from "./announcer.js"
 * @import { State } from "./leaderboard.js"
 */

/** Milliseconds before the banner appears: a rolling restart takes less. */
const PATIENCE = 2_000;

const WORDS = { connecting: "Connecting…", live: "Live", disconnected: "Disconnected", closing: "Closing", sealed: "Final" };

export class Status {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer = undefined;
  #page;
  #announcer;
  #banner;

  /**
   * @param {HTMLElement} page
   * @param {Announcer} announcer
   * @param {() => void} retry
   */
  constructor(page, announcer, retry) {
    this.#page = page;
    this.#announcer = announcer;
    this.#banner = /** @type {HTMLElement} */ (page.querySelector("#banner"));
    this.#banner.querySelector("button")?.addEventListener("click", retry);
  }

  /** @param {keyof typeof WORDS} name of a state, also of a result */
  name(name) {
    this.#page.dataset.state = name;
    /** @type {HTMLElement} */ (this.#page.querySelector("#status .word")).textContent = WORDS[name];
  }

  /** @param {State} state */
  show(state) {
    const changed = this.#page.dataset.state !== state.name;
    this.name(state.name);
    if (state.name !== "disconnected") return this.#recovered(state);
    const final = state.retryAt === null;
    if (this.#banner.hidden && !changed && !final) return; // the timer is running
    clearTimeout(this.#timer);
    if (!this.#banner.hidden || final) this.#complain(state);
    else this.#timer = setTimeout(() => this.#complain(state), PATIENCE);
  }

  /** @param {State} state */
  #recovered(state) {
    clearTimeout(this.#timer);
    this.#banner.hidden = true;
    if (state.name === "live") this.#announcer.tell("connection", "live", "The board is live again.");
  }

  /** @param {State} state */
  #complain({ since, retryAt, reason }) {
    const time = document.createElement("time");
    time.dateTime = since.toISOString();
    time.textContent = clock(since);
    const rest = retryAt
      ? ". Reconnecting; what you see may be out of date."
      : `: the server refused (${reason || "no reason given"}).`;
    this.#banner.querySelector("p")?.replaceChildren("Disconnected since ", time, rest);
    this.#banner.hidden = false;
    this.#announcer.tell("connection", "disconnected", "Disconnected. What you see may be out of date.");
  }
}

/** The time of day, with the date if it is not today.
 * @param {Date} when
 */
export function clock(when) {
  const today = when.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(undefined, { timeStyle: "medium", dateStyle: today ? undefined : "medium" }).format(when);
}
