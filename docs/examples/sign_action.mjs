// Sign an action, as a game server does it. Node 16 or newer, no packages.
//
//   PROOF_KEY="$(cat proof.key)" node sign_action.mjs alice level_complete 50 level-8c1f

import { createHmac, randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";

/**
 * The action proof: the service counts it once for `player`, within `lifetime` seconds (60 at most by default).
 *
 * `key`: the service's proof_key. `actionId`: the same for each attempt to report the same action; 1 to 128 visible
 * ASCII characters, random where there is none.
 */
export function signAction(key, { player, type, points, actionId, lifetime = 60 }) {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: "HS256", typ: "action-proof+jwt" };
  const claims = {
    sub: player,
    act: type,
    pts: points,
    jti: actionId ?? randomBytes(12).toString("base64url"),
    iat: now,
    exp: now + lifetime,
  };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [player, type, points, actionId] = process.argv.slice(2);
  const key = process.env.PROOF_KEY;
  if (!key || !player || !type || !/^[0-9]+$/.test(points ?? "")) {
    console.error("usage: PROOF_KEY=... sign_action.mjs PLAYER TYPE POINTS [ID]");
    process.exit(1);
  }
  console.log(signAction(key, { player, type, points: Number(points), actionId }));
}
