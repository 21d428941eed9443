/** The reader's token. It is in the input field and nowhere else: not stored, not in a URL, not in the samples. */

const field = document.getElementById("token");

field.form.addEventListener("submit", (event) => event.preventDefault());

export const token = () => field.value.trim().replace(/^Bearer\s+/i, "");

/** What the token says of itself, unverified. */
function claims(text) {
  const binary = atob(text.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0))));
}

function summary(text) {
  if (!text) return "";
  try {
    const { sub, exp } = claims(text);
    const end = new Date(exp * 1000);
    return `Subject ${sub}, ${end < Date.now() ? "expired at" : "valid until"} ${end.toLocaleString()}`;
  } catch {
    return "This is not a JSON Web Token.";
  }
}

/** Calls `changed` after each change of the token. */
export function watchToken(changed) {
  field.addEventListener("input", () => {
    document.getElementById("token-is").textContent = summary(token());
    changed();
  });
}
