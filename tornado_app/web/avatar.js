/**
 * A player's picture, over initials that show until it has come, or when it never does.
 *
 * @module
 * @import { Row } from "./leaderboard.js"
 */

/**
 * @param {Row} row
 * @returns {HTMLElement}
 */
export function avatar({ userId, username, avatarUrl }) {
  const frame = document.createElement("span");
  frame.className = "avatar";
  frame.setAttribute("aria-hidden", "true");
  frame.style.setProperty("--hue", String(hue(userId)));
  frame.append(initials(username));
  if (/^https?:/i.test(avatarUrl ?? "")) frame.append(picture(String(avatarUrl)));
  return frame;
}

/** @param {string} url */
function picture(url) {
  const image = new Image();
  image.alt = "";
  image.loading = "lazy";
  image.decoding = "async";
  image.referrerPolicy = "no-referrer"; // a picture's host needs not know who plays where
  image.addEventListener("error", () => image.remove());
  image.src = url;
  return image;
}

/**
 * The first letter of the first word and of the last, in scripts that have capitals; others write an initial alone.
 * @param {string} name
 */
function initials(name) {
  const words = name.split(/[\s_.-]+/u).filter((word) => /[\p{L}\p{N}\p{S}]/u.test(word));
  const [first, ...others] = words.map((word) => firstLetter(word).toLocaleUpperCase());
  const last = others.at(-1);
  return last && hasCase(first) && hasCase(last) ? first + last : (first ?? "");
}

/** @param {string} letter */
function hasCase(letter) {
  return letter.toLowerCase() !== letter;
}

/** @param {string} word */
function firstLetter(word) {
  if (!("Segmenter" in Intl)) return Array.from(word)[0] ?? "";
  const [first] = new Intl.Segmenter().segment(word);
  return first?.segment ?? "";
}

/**
 * Always the same for the same player, in degrees.
 * @param {string} userId
 */
function hue(userId) {
  let sum = 0;
  for (const letter of userId) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
  return (sum * 137.508) % 360; // the golden angle puts ids that follow each other far apart
}
