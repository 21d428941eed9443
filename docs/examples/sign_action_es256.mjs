// Sign an action with a private key that never leaves the game server. Node 16 or newer, no packages.
//
//   PROOF_KEY="$(cat proof-private.pem)" node sign_action_es256.mjs alice level_complete 50 level-8c1f

import { randomBytes, sign } from "node:crypto";
import { fileURLToPath } from "node:url";

/** As in sign_action.mjs, but `key` is a P-256 private key (PEM), and the service has only its public half. */
export function signAction(key, { player, type, points, actionId, lifetime = 60 }) {
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: "ES256", typ: "action-proof+jwt" };
  const claims = {
    sub: player,
    act: type,
    pts: points,
    jti: actionId ?? randomBytes(12).toString("base64url"),
    iat: now,
    exp: now + lifetime,
  };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  // A JWS holds the two numbers of the signature one after the other, not in the ASN.1 form that is the default.
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [player, type, points, actionId] = process.argv.slice(2);
  const key = process.env.PROOF_KEY;
  if (!key || !player || !type || !/^[0-9]+$/.test(points ?? "")) {
    console.error("usage: PROOF_KEY=... sign_action_es256.mjs PLAYER TYPE POINTS [ID]");
    process.exit(1);
  }
  console.log(signAction(key, { player, type, points: Number(points), actionId }));
}
