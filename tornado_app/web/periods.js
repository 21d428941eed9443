/** The periods of the shown board: which one the page shows, links to the others with the time that is left, and the
 * result of the last epoch that is over.
 *
 * @module
 * @import { Epoch as Announced, Row } from "./leaderboard.js"
 * @typedef {{ epoch: number, state: string, start: string, end: string | null }} Epoch
 * @typedef {{ name: string, review: number, current: Epoch | null, previous: Epoch | null }} Period
 */

import { prefix, shown } from "./boards.js";
import { object } from "./json.js";

const TICK = 1_000; // milliseconds, as all times here
const SPREAD = 4_000; // within it after an end, the pages of all visitors read the periods again
const GRACE = 10_000; // the service begins a result this long after the end, and has announced the next epoch by then
const PATIENCE = 5_000; // between two looks at an epoch that is closing
const LONGEST = 3_600_000;

const query = new URLSearchParams(location.search);

/** The period that the page's address asks for, as in `?period=weekly`, or `all`; null: what the board shows. */
export const period = query.get("period");

/** Whether it asks for the last result of the period, as in `?period=weekly&epoch=previous`. */
export const isResult = period !== null && query.get("epoch") === "previous";

export class Periods {
  /** @type {Map<string, { time: HTMLElement, result: HTMLElement, end: number }>} */ #tabs = new Map();
  /** @type {Set<string>} */ #announcing = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #reading = undefined;
  #due = Infinity; // when the periods are read again; in the past during a read
  #ahead = 0;
  #nav;
  #onRead;

  /**
   * @param {HTMLElement} nav is shown if the board has periods
   * @param {(period: Period | null) => void} onRead is called with the shown period after each read
   */
  constructor(nav, onRead) {
    this.#nav = nav;
    this.#onRead = onRead;
    setInterval(() => this.#tick(), TICK);
  }

  /** Read the periods, unless that happens earlier anyway.
   * @param {number} [delay]
   */
  read(delay = 0) {
    const due = Date.now() + delay;
    if (due >= this.#due) return;
    clearTimeout(this.#reading);
    this.#due = due;
    this.#reading = setTimeout(() => this.#read(), delay);
  }

  /** The socket of the shown period announces its epochs, so no visitor has to read them.
   * @param {Announced} epoch
   */
  announced({ period, epoch, remaining }) {
    const tab = this.#tabs.get(period);
    this.#announcing.add(period);
    if (!tab) return; // the first read is on its way
    tab.end = remaining === null ? NaN : Date.now() + this.#ahead + remaining;
    tab.result.hidden &&= epoch === 1;
    this.#tick();
  }

  /** The shown board became empty, as at the end of an epoch. */
  emptied() {
    if (period === null || !this.#announcing.has(period)) this.readSoon();
  }

  /** Read the periods after a change that all visitors see. */
  readSoon() {
    this.read(TICK + SPREAD * Math.random());
  }

  async #read() {
    const answer = await fetch(`${prefix}api/v1/periods`, { cache: "no-store" }).catch(() => null);
    const found = answer?.ok ? await answer.json().catch(() => null) : null;
    this.#due = Infinity;
    if (!answer || !found) return this.read(PATIENCE + SPREAD * Math.random());
    this.#ahead = Date.parse(answer.headers.get("Date") ?? "") - Date.now() || 0;
    this.#show(found);
  }

  /** @param {{ periods: Period[], shows: string | null }} found */
  #show({ periods, shows }) {
    const names = periods.map(({ name }) => name);
    const isNew = names.join() !== [...this.#tabs.keys()].join();
    if (isNew) this.#build(names, shows);
    for (const { name, current, previous } of periods) {
      const tab = this.#tabs.get(name);
      if (!tab) continue;
      tab.end = Date.parse(current?.end ?? "");
      tab.result.hidden = !previous;
    }
    this.#nav.hidden = periods.length === 0;
    if (isNew) this.#nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    this.#tick();
    const own = periods.find(({ name }) => name === (period ?? shows)) ?? null;
    if (isResult && own?.previous?.state === "closing") this.read(this.#untilResult(own));
    this.#onRead(own);
  }

  /**
   * @param {string[]} names
   * @param {string | null} shows
   */
  #build(names, shows) {
    const current = period ?? shows ?? "all";
    const all = tab("All time", { period: shows && "all" }, current === "all");
    this.#tabs.clear();
    const rest = names.flatMap((name) => {
      const live = tab(name, { period: name }, current === name && !isResult);
      const time = document.createElement("span");
      const result = tab(`${name}: last result`, { period: name, epoch: "previous" }, current === name && isResult);
      live.append(" ", time);
      this.#tabs.set(name, { time, result, end: NaN });
      return [live, result];
    });
    this.#nav.replaceChildren(all, ...rest);
  }

  /** Show the time that is left, and read the periods after an end that is not announced. */
  #tick() {
    const now = Date.now() + this.#ahead;
    for (const [name, { time, end }] of this.#tabs) {
      time.textContent = Number.isNaN(end) ? "" : left(end - now);
      if (end + (this.#announcing.has(name) ? GRACE : 0) <= now) this.readSoon();
    }
  }

  /** @param {Period} period */
  #untilResult({ review, previous }) {
    const due = Date.parse(previous?.end ?? "") + GRACE + 1_000 * review - Date.now() - this.#ahead;
    return Math.min(LONGEST, Math.max(PATIENCE, due));
  }
}

/** The ten best players of a result; null if the service does not answer.
 * @param {string} name of the period
 * @param {Epoch} epoch
 * @returns {Promise<Row[] | null>}
 */
export async function result(name, { epoch }) {
  const path = `${prefix}api/v1/periods/${encodeURIComponent(name)}/${epoch}/leaderboard?limit=10`;
  const answer = await fetch(path).catch(() => null);
  const players = answer?.ok ? object(await answer.text())?.players : null;
  return players && players.map((/** @type {any} */ row) => ({
    userId: row.user_id,
    username: row.username,
    avatarUrl: row.avatar_url,
    score: row.score,
    rank: row.rank,
  }));
}

/** @param {number} time */
function left(time) {
  const seconds = Math.max(0, Math.ceil(time / 1_000));
  const [minutes, hours, days] = [60, 3_600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return `${minutes}:${String(seconds % 60).padStart(2, "0")}`;
}

/**
 * @param {string} text
 * @param {Record<string, string | null>} address
 * @param {boolean} isCurrent
 */
function tab(text, address, isCurrent) {
  const link = document.createElement("a");
  const all = Object.entries({ board: shown === "main" ? null : shown, ...address });
  link.href = `?${all.flatMap(([name, value]) => (value ? `${name}=${encodeURIComponent(value)}` : [])).join("&")}`;
  link.textContent = text;
  if (isCurrent) link.setAttribute("aria-current", "page");
  return link;
}
