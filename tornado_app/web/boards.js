/** The service's boards: which one the page shows, and links to the others.
 *
 * @module
 * @typedef {object} Definition
 * @property {string} name
 * @property {"sum" | "best" | "last"} rule
 * @property {"descending" | "ascending"} order
 * @property {{ min?: number, max?: number }} [bounds]
 */

/** Name of the board that the page's address asks for, as in `?board=kart`. */
export const shown = new URLSearchParams(location.search).get("board") || "main";

/** Where the paths of the shown board begin. */
export const prefix = shown === "main" ? "" : `boards/${encodeURIComponent(shown)}/`;

/** All boards; null if the service does not answer.
 * @returns {Promise<Definition[] | null>}
 */
export async function definitions() {
  const answer = await fetch("api/v1/boards").catch(() => null);
  return answer?.ok ? (await answer.json()).boards : null;
}

/** Links to the boards, if there are others than the shown one.
 * @param {HTMLElement} nav
 * @param {readonly Definition[]} boards
 */
export function link(nav, boards) {
  nav.replaceChildren(...boards.map(({ name }) => entry(name)));
  nav.hidden = boards.every(({ name }) => name === shown);
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

/** @param {string} name */
function entry(name) {
  const link = document.createElement("a");
  link.href = `?board=${encodeURIComponent(name)}`;
  link.textContent = name;
  if (name === shown) link.setAttribute("aria-current", "page");
  return link;
}
