/** The meaning of a socket's close code: whether a new attempt can succeed, and otherwise the change that is needed.
 *
 * @module
 */

const POLICY_VIOLATION = 1008;
const MESSAGE_TOO_BIG = 1009;

/** The socket ended without a close frame. */
export const ABNORMAL = 1006;
export const UNAUTHENTICATED = 4401;
export const TOO_MANY = 4429;

/** Remedies by the service's error code, which is the close reason. */
const REMEDIES = new Map([
  ["invalid_token", "The service does not accept the token. The service's log names the reason; its settings jwt_* say what it expects."],
  ["expired_token", "The token has expired. Pass a function as `token` that returns a fresh one."],
  ["invalid_request", "The socket's address has a query argument other than token and period, which the service does not know."],
  ["board_not_found", "The service has no board of that name. `GET /api/v1/boards` lists the boards."],
  ["period_not_found", "The board has no period of that name. `GET /api/v1/periods` of the board lists its periods."],
  ["rate_limited", "Too many tokens from this address were refused (setting auth_failure_limit). Check the token."],
  [
    "too_many_connections",
    "Too many sockets are open from this address or on this server (settings max_connections_per_address and max_connections). " +
      "Share one connection between components; behind a proxy, check the setting trusted_proxies.",
  ],
]);

/**
 * Whether the same attempt would fail again: a refusal (44xx, 1008) or a message over the limit (1009). 4429 passes by
 * itself, so it is not final.
 * @param {number} code
 */
export function isFinal(code) {
  return (code >= 4400 && code < 4500 && code !== TOO_MANY) || code === POLICY_VIOLATION || code === MESSAGE_TOO_BIG;
}

/** The cause and the setting to change, for a developer; empty if the code needs no action.
 * @param {number} code
 * @param {string} reason
 */
export function explain(code, reason) {
  if (reason === "origin_not_allowed") {
    const origin = globalThis.location?.origin;
    return `The service does not accept pages of this origin. Add ${origin ?? "the origin"} to its setting allowed_origins.`;
  }
  const remedy = REMEDIES.get(reason);
  if (remedy) return remedy;
  if (code === MESSAGE_TOO_BIG) return "A message was larger than the service accepts: the token is too long. Issue a token with fewer claims.";
  if (code === POLICY_VIOLATION) return "A proxy or gateway closed the socket by its policy. Check its WebSocket settings.";
  return isFinal(code) ? "The service refused the connection." : "";
}
