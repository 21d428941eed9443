/** Announcements for screen readers: few sentences, and only about the present state.
 *
 * @module
 */

/** Milliseconds between two announcements at least. */
const EVERY = 10_000;

/** Announces facts that changed since their last announcement; the first value of a fact is not announced. */
export class Announcer {
  /** @type {Map<string, { value: string, sentence: string }>} */ #now = new Map();
  /** @type {Map<string, string>} */ #spoken = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer = undefined;
  #last = -Infinity;
  #region;

  /** @param {HTMLElement} region a polite live region */
  constructor(region) {
    this.#region = region;
  }

  /**
   * @param {string} fact
   * @param {string} value what makes it another one
   * @param {string} sentence
   */
  tell(fact, value, sentence) {
    if (!this.#spoken.has(fact)) this.#spoken.set(fact, value);
    this.#now.set(fact, { value, sentence });
    this.#timer ??= this.#news().length ? setTimeout(() => this.#speak(), this.#last + EVERY - Date.now()) : undefined;
  }

  #news() {
    return [...this.#now].filter(([fact, { value }]) => this.#spoken.get(fact) !== value);
  }

  #speak() {
    this.#timer = undefined;
    const news = this.#news();
    if (!news.length) return;
    this.#last = Date.now();
    for (const [fact, { value }] of news) this.#spoken.set(fact, value);
    this.#region.textContent = news.map(([, { sentence }]) => sentence).join(" ");
  }
}
