/** A player's picture, over initials that are visible until it has loaded, or if it does not load.
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
  frame.append(initials(username, userId));
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

/** Invisible by itself: Unicode's ignorable characters, marks, controls, spaces, and the blank of Braille. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{M}\p{C}\p{Z}\u2800]/gu;

/** The initial if neither name nor id have a visible character. */
const NAMELESS = "?";

/** The first letters of the first and the last word, in scripts with capitals; otherwise the first letter alone.
 * If no word has a letter, a number or a symbol, the first visible character of the name, else of the id.
 * @param {string} name
 * @param {string} userId
 */
function initials(name, userId) {
  const words = name.split(/[\s_.-]+/u).filter((word) => /[\p{L}\p{N}\p{S}]/u.test(visible(word)));
  const [first, ...others] = words.map((word) => firstSign(word).toLocaleUpperCase());
  const last = others.at(-1);
  if (last && hasCase(first) && hasCase(last)) return first + last;
  return first || firstSign(name) || firstSign(userId) || NAMELESS;
}

/** @param {string} text */
function visible(text) {
  return text.replace(INVISIBLE, "");
}

/** @param {string} letter */
function hasCase(letter) {
  return letter.toLowerCase() !== letter;
}

/** The first visible grapheme, empty if there is none. Joiners and marks within it stay.
 * @param {string} text
 */
function firstSign(text) {
  const signs = "Segmenter" in Intl ? Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment) : text;
  for (const sign of signs) if (visible(sign)) return sign;
  return "";
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
