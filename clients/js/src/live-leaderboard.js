/**
 * The live board as an element, `<live-leaderboard url="wss://board.example/ws/leaderboard">`.
 *
 * Names are set as text in `<bdi>`, never as HTML. The style is a constructed sheet, which a Content-Security-Policy
 * without `unsafe-inline` allows. Without a DOM (server-side rendering, a worker) the import does nothing.
 *
 * Attributes: `url`, `board`, `period` (as for `connectLeaderboard`), `user-id` (this player's row is marked), `caption`.
 * Properties: `token`, `labels`, `rows`, `state`; method `retry()`.
 * Events: `board` (`detail`: rows and version), `state`, `score`, `period`; they do not bubble.
 * Parts: `table`, `caption`, `header`, `row`, `own` (also a row), `rank`, `player`, `score`, `empty`, `status`.
 * Variables: `--leaderboard-color`, `-background`, `-border`, `-own-background`, `-gap`, `-font`.
 *
 * @module
 * @import { Connection, Row, State, TokenSource } from "./connection.js"
 */

import { Announcer } from "./announcer.js";
import { connectLeaderboard } from "./connection.js";

const STYLE = `
  :host { display: block; color: var(--leaderboard-color, inherit); background: var(--leaderboard-background, none);
          font: var(--leaderboard-font, inherit); }
  :host([hidden]) { display: none; }
  table { inline-size: 100%; border-collapse: collapse; }
  caption { text-align: start; font-weight: bold; padding-block-end: var(--leaderboard-gap, 0.5em); }
  th, td { padding: var(--leaderboard-gap, 0.5em); text-align: start; border-block-end: var(--leaderboard-border, 1px solid); }
  tbody th { font-weight: inherit; overflow-wrap: anywhere; }
  .number { text-align: end; font-variant-numeric: tabular-nums; }
  tr[aria-current] { background: var(--leaderboard-own-background, rgb(255 200 0 / 0.2)); }
  .unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

/** Texts; assign `labels` to translate some or all of them. */
const LABELS = {
  rank: "Rank",
  player: "Player",
  score: "Score",
  empty: "No scores yet.",
  connecting: "Connecting…",
  live: "The board is live.",
  disconnected: "Disconnected. The board may be out of date.",
  refused: "The board is not available.",
  leader: (/** @type {string} */ name) => `${name} leads.`,
};

/** @typedef {typeof LABELS} Labels */

/** @type {typeof HTMLElement} */
const Base = globalThis.HTMLElement ?? class {};

export class LiveLeaderboard extends Base {
  static observedAttributes = ["url", "board", "period", "user-id", "caption"];

  /** @type {readonly (Row | null)[]} */ rows = [];
  /** @type {State | null} */ state = null;
  /** @type {Labels} */ #labels = LABELS;
  /** @type {TokenSource} */ #token = null;
  /** @type {Connection | null} */ #connection = null;
  #numbers = new Intl.NumberFormat();
  #table = part("table", "table");
  #caption = part("caption", "caption");
  #head = part("tr", "header");
  #body = document.createElement("tbody");
  #empty = part("p", "empty");
  #status = part("p", "status");
  #spoken = part("p", "announcer");
  #announcer = new Announcer(this.#spoken);

  constructor() {
    super();
    const head = document.createElement("thead");
    head.append(this.#head);
    this.#table.append(this.#caption, head, this.#body);
    this.#spoken.className = "unseen";
    this.#spoken.setAttribute("role", "status");
    this.#spoken.setAttribute("aria-live", "polite");
    const root = this.attachShadow({ mode: "open" });
    root.append(this.#table, this.#empty, this.#status, this.#spoken);
    if ("adoptedStyleSheets" in root) root.adoptedStyleSheets = [sheet()];
    this.labels = {};
  }

  /** The player's token or a function, as for `connectLeaderboard`; a property, as an attribute would show it. */
  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    if (this.#connection) this.#connect();
  }

  /** @returns {Labels} */
  get labels() {
    return this.#labels;
  }

  /** @param {Partial<Labels>} labels */
  set labels(labels) {
    this.#labels = { ...LABELS, ...labels };
    const { rank, player, score } = this.#labels;
    this.#head.replaceChildren(...[["rank", rank], ["player", player], ["score", score]].map(([name, text]) => heading(name, text)));
    this.#draw();
    this.#drawState();
  }

  /** Connect again at once, also after a refusal. */
  retry() {
    this.#connection?.retry();
  }

  connectedCallback() {
    this.#connect();
  }

  disconnectedCallback() {
    this.#connection?.close();
    this.#connection = null;
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (name === "user-id" || name === "caption") this.#draw();
    else if (this.#connection) this.#connect();
  }

  #connect() {
    this.#connection?.close();
    this.#connection = connectLeaderboard({
      url: this.getAttribute("url") ?? undefined,
      board: this.getAttribute("board") ?? undefined,
      period: this.getAttribute("period") ?? undefined,
      token: this.#token,
      onBoard: (rows, version) => {
        this.rows = rows;
        this.#draw();
        this.#emit("board", { rows, version });
      },
      onState: (state) => {
        this.state = state;
        this.#drawState();
        this.#emit("state", state);
      },
      onScore: (score) => this.#emit("score", score),
      onPeriod: (epoch) => this.#emit("period", epoch),
    });
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #draw() {
    const own = this.getAttribute("user-id");
    const rows = this.rows.filter((row) => row !== null);
    this.#caption.textContent = this.getAttribute("caption");
    this.#caption.hidden = !this.#caption.textContent;
    this.#body.replaceChildren(...rows.map((row) => this.#row(row, row.userId === own)));
    this.#empty.textContent = this.#labels.empty;
    this.#empty.hidden = rows.length > 0 || !this.state || this.state.name === "connecting";
    const [first] = rows;
    // Isolates keep a name's direction from spreading, as <bdi> does for elements.
    if (first) this.#announcer.tell("leader", first.userId, this.#labels.leader(`\u2068${first.username}\u2069`));
  }

  /**
   * @param {Row} row
   * @param {boolean} own
   */
  #row({ rank, username, score }, own) {
    const row = part("tr", own ? "row own" : "row");
    if (own) row.setAttribute("aria-current", "true");
    const name = document.createElement("bdi");
    name.textContent = username;
    const player = part("th", "player");
    player.setAttribute("scope", "row");
    player.append(name);
    row.append(number("rank", this.#numbers.format(rank)), player, number("score", this.#numbers.format(score)));
    return row;
  }

  #drawState() {
    const { name = "connecting", final = false } = this.state ?? {};
    const text = final ? this.#labels.refused : this.#labels[name];
    this.#status.textContent = name === "live" ? "" : text;
    this.#status.hidden = name === "live";
    this.#table.setAttribute("aria-busy", String(name === "connecting"));
    if (name !== "connecting") this.#announcer.tell("connection", name, text);
  }
}

/** @type {CSSStyleSheet | undefined} */ let shared;

/** One sheet for all elements. */
function sheet() {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(STYLE);
  }
  return shared;
}

/**
 * @param {string} tag
 * @param {string} name
 * @returns {HTMLElement}
 */
function part(tag, name) {
  const element = document.createElement(tag);
  element.setAttribute("part", name);
  return element;
}

/**
 * @param {string} name
 * @param {string} text
 */
function heading(name, text) {
  const cell = part("th", name);
  cell.setAttribute("scope", "col");
  if (name !== "player") cell.className = "number";
  cell.textContent = text;
  return cell;
}

/**
 * @param {string} name
 * @param {string} text
 */
function number(name, text) {
  const cell = part("td", name);
  cell.className = "number";
  cell.textContent = text;
  return cell;
}

if (globalThis.customElements && !customElements.get("live-leaderboard")) {
  customElements.define("live-leaderboard", LiveLeaderboard);
}
