/**
 * Scores are int64: JSON that keeps every digit of them.
 *
 * @module
 */
/**
 * The JSON object that a text is, or null: the caller reports what else came. An integer that a number cannot hold exactly
 * becomes a bigint, where the engine passes a reviver the source text (Chromium 114, Firefox 135, Safari 18.4, Node.js 21).
 * @param {string} text
 * @returns {any}
 */
export function object(text: string): any;
