/** Elements, text and announcements. Text of a document becomes text nodes, never markup. */

/** An element. Strings become text nodes; null, undefined and "" are left out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat(2).filter((child) => child != null && child !== ""));
  return element;
}

/** `code` and **bold** of one line of Markdown. */
export function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return h("code", null, part.slice(1, -1));
    return part.startsWith("**") ? h("strong", null, part.slice(2, -2)) : part;
  });
}

export const paragraphs = (text) => text.split(/\n{2,}/).map((part) => h("p", null, inline(part)));

export const block = (text) => h("pre", null, h("code", null, text));

export const json = (value) => block(JSON.stringify(value, null, 2));

/** Announces a text to screen readers. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

async function copy(code, button) {
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code); // an insecure origin has no clipboard: the reader's own keys work
    done = "Selected";
  }
  button.textContent = done;
  announce(done);
  setTimeout(() => {
    button.textContent = "Copy";
    announce("");
  }, 2000);
}

/** A block of code with a button that copies it. */
export function copyable(label, code) {
  const button = h("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  button.addEventListener("click", () => copy(code, button));
  return h("div", { class: "copyable" }, h("pre", null, code), button);
}
