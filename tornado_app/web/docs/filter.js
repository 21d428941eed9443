/** Shows only the operations, sockets and error codes that contain all words of the filter. */

const SETTLED = 300; // milliseconds without a key before the number of matches is announced

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/**
 * `entries`: elements with their `text`, their `link` in the contents, if any, and what they count as (`noun`).
 * `sections`: elements that are shown when one of their entries is; those without entries, when nothing is filtered.
 */
export function filter(entries, sections) {
  const field = document.getElementById("filter");
  const matches = document.getElementById("matches");
  let timer;

  function apply() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = {};
    const visible = new Set();
    for (const { element, link, text, noun } of entries) {
      const match = words.every((word) => text.toLowerCase().includes(word));
      element.hidden = !match;
      if (link) link.hidden = !match;
      counts[noun] = (counts[noun] ?? 0) + match;
      if (match) visible.add(element.closest("section"));
    }
    for (const { element, link } of sections) element.hidden = link.hidden = words.length > 0 && !visible.has(element);
    clearTimeout(timer);
    const found = Object.entries(counts).map(([noun, count]) => plural(count, noun)).join(", ");
    timer = setTimeout(() => (matches.textContent = words.length ? found : ""), SETTLED);
  }

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.closest("[hidden]")) return;
    field.value = "";
    apply();
    target.scrollIntoView();
  }

  field.addEventListener("input", apply);
  addEventListener("hashchange", reveal);
}
