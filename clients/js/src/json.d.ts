/**
 * Scores are int64: JSON that keeps every digit of them.
 *
 * @module
 */
/** A text as a JSON object, or null for any other text. An integer that a number cannot represent exactly becomes a
 * bigint, if the engine passes the source text to a reviver (Chromium 114, Firefox 135, Safari 18.4, Node.js 21).
 * @param {string} text
 * @returns {any}
 */
export function object(text: string): any;
