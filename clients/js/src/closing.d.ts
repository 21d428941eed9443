/**
 * Whether the same attempt would fail again: a refusal (44xx, 1008) or a message over the limit (1009). 4429 passes by
 * itself, so it is not final.
 * @param {number} code
 */
export function isFinal(code: number): boolean;
/** The cause and the setting to change, for a developer; empty if the code needs no action.
 * @param {number} code
 * @param {string} reason
 */
export function explain(code: number, reason: string): string;
/** The socket ended without a close frame. */
export const ABNORMAL: 1006;
export const UNAUTHENTICATED: 4401;
export const TOO_MANY: 4429;
