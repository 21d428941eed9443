/** The table: a row for each player, kept while the player stays on the board, and moved by an animation.
 *
 * @module
 * @import { Row } from "./leaderboard.js"
 */

import { avatar } from "./avatar.js";

const MOVE = 550; // milliseconds, as all times here
const HIGHLIGHT = 1_400;
const LONG = 15; // characters; a longer score gets smaller digits, as int64 has 25

const numbers = new Intl.NumberFormat();
const signed = new Intl.NumberFormat(undefined, { signDisplay: "exceptZero" });
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Board {
  /** @type {Map<string, PlayerRow>} */ #players = new Map();
  /** @type {string | null} */ #own = null;
  #ascending = false;
  /** @type {readonly (Row | null)[] | null} */ #rows = null;
  #fresh = true;
  #body;
  #empty;

  /**
   * @param {HTMLElement} body the table's
   * @param {HTMLElement} empty is shown instead while no player is on the board
   */
  constructor(body, empty) {
    this.#body = body;
    this.#empty = empty;
  }

  /** @param {number | bigint} score */
  format(score) {
    return numbers.format(score);
  }

  /** @param {string | null} userId whose row is marked as one's own */
  own(userId) {
    this.#own = userId;
    for (const [id, player] of this.#players) player.mark(id === userId);
  }

  /** @param {"ascending" | "descending"} order whether the lowest or the highest score is first */
  order(order) {
    this.#ascending = order === "ascending";
    if (this.#rows) this.show(this.#rows);
  }

  /** @param {readonly (Row | null)[]} rows */
  show(rows) {
    this.#rows = rows;
    const standing = rows.filter((row) => row !== null);
    const before = this.#places();
    this.#remove(new Set(standing.map((row) => row.userId)));
    const best = Number(standing[0]?.score ?? 0);
    const share = (/** @type {number} */ score) => (this.#ascending ? ratio(best, score) : ratio(score, best));
    standing.forEach((row, at) => {
      const player = this.#player(row);
      player.update(row, share(Number(row.score)), this.#ascending);
      if (this.#body.children[at] !== player.element) this.#body.insertBefore(player.element, this.#body.children[at] ?? null);
    });
    if (!this.#fresh && !still.matches) this.#move(before);
    this.#fresh = false;
    this.#empty.hidden = standing.length > 0;
  }

  /** @param {Row} row */
  #player(row) {
    let player = this.#players.get(row.userId);
    if (!player) {
      player = new PlayerRow();
      player.mark(row.userId === this.#own);
      this.#players.set(row.userId, player);
    }
    return player;
  }

  /** @param {Set<string>} staying */
  #remove(staying) {
    for (const [userId, player] of this.#players) {
      if (staying.has(userId)) continue;
      player.element.remove();
      this.#players.delete(userId);
    }
  }

  /** The position of each row on the screen, also during an animation. */
  #places() {
    return new Map([...this.#players.values()].map(({ element }) => [element, element.getBoundingClientRect().top]));
  }

  /** First, last, invert, play: rows are at their new positions, and the animation starts at the old ones.
   * @param {Map<HTMLElement, number>} before
   */
  #move(before) {
    for (const { element } of this.#players.values()) for (const move of element.getAnimations()) move.cancel();
    for (const [element, now] of this.#places()) {
      const way = (before.get(element) ?? NaN) - now;
      if (way === 0) continue;
      const from = Number.isNaN(way) ? { opacity: 0, translate: "0 40%" } : { translate: `0 ${way}px` };
      element.classList.toggle("rising", way > 0);
      element
        .animate([from, {}], { duration: MOVE, easing: "cubic-bezier(0.2, 0.8, 0.2, 1)" })
        .finished.then(() => element.classList.remove("rising"), () => undefined); // cancelled by the next move
    }
  }
}

/** One player's row. */
class PlayerRow {
  element = document.createElement("tr");
  /** @type {Row | null} */ #row = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer = undefined;
  #rank = cell("td", "rank");
  #player = cell("th", "player");
  #score = cell("td", "score");
  #medal = cell("span", "medal");
  #name = cell("bdi", "name");
  #you = cell("span", "you");
  #gain = cell("span", "gain");
  #points = /** @type {HTMLDataElement} */ (cell("data", "points"));
  #picture = document.createElement("span");

  constructor() {
    const [who, sum] = [cell("div", "who"), cell("span", "sum")];
    this.#player.setAttribute("scope", "row");
    this.#name.dir = "auto";
    this.#you.textContent = "You";
    this.#gain.setAttribute("aria-hidden", "true");
    this.#rank.append(this.#medal);
    who.append(this.#picture, this.#name, this.#you);
    this.#player.append(who);
    sum.append(this.#gain, this.#points);
    this.#score.append(sum);
    this.element.append(this.#rank, this.#player, this.#score);
  }

  /** @param {boolean} own */
  mark(own) {
    this.element.classList.toggle("own", own);
    this.#you.hidden = !own;
  }

  /**
   * @param {Row} row
   * @param {number} share of the bar: the leader's is 1
   * @param {boolean} ascending whether a lower score is better
   */
  update(row, share, ascending) {
    const old = this.#row;
    this.#row = row;
    if (old?.rank !== row.rank) this.element.dataset.rank = this.#medal.textContent = String(row.rank);
    if (old?.username !== row.username) this.#name.title = this.#name.textContent = row.username;
    if (old?.username !== row.username || old.avatarUrl !== row.avatarUrl) this.#show(avatar(row));
    if (old?.score !== row.score) this.#count(row, old, ascending);
    this.element.style.setProperty("--share", String(share));
  }

  /** @param {HTMLElement} picture */
  #show(picture) {
    this.#picture.replaceWith(picture);
    this.#picture = picture;
  }

  /**
   * @param {Row} row
   * @param {Row | null} old
   * @param {boolean} ascending
   */
  #count(row, old, ascending) {
    const text = numbers.format(row.score);
    this.#points.value = String(row.score);
    this.#points.textContent = text;
    this.#score.classList.toggle("long", text.length > LONG);
    if (!old) return;
    const gain = BigInt(row.score) - BigInt(old.score);
    this.#gain.textContent = (ascending ? gain < 0n : gain > 0n) ? signed.format(gain) : "";
    this.#score.classList.add("changed");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#score.classList.remove("changed"), HIGHLIGHT);
  }
}

/** Within 0 to 1.
 * @param {number} part
 * @param {number} whole
 */
function ratio(part, whole) {
  return whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
}

/**
 * @param {string} tag
 * @param {string} name
 */
function cell(tag, name) {
  const element = document.createElement(tag);
  element.className = name;
  return element;
}
