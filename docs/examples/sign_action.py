"""Sign an action, as a game server does it. Python 3.9 or newer, standard library only.

PROOF_KEY="$(cat proof.key)" python sign_action.py alice level_complete 50 level-8c1f
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time


def sign_action(key: str, player: str, action_type: str, points: int, action_id: str = "", lifetime: int = 60) -> str:
    """The action proof: the service counts it once for `player`, within `lifetime` seconds (60 at most by default).

    `key`: the service's proof_key. `action_id`: the same for each attempt to report the same action; 1 to 128 visible
    ASCII characters, random where there is none.
    """
    now = int(time.time())
    header = {"alg": "HS256", "typ": "action-proof+jwt"}
    claims = {
        "sub": player,
        "act": action_type,
        "pts": points,
        "jti": action_id or secrets.token_urlsafe(12),
        "iat": now,
        "exp": now + lifetime,
    }
    signed = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
    return signed + "." + encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())


def encode(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


if __name__ == "__main__":
    if not os.environ.get("PROOF_KEY") or len(sys.argv) not in (4, 5) or not sys.argv[3].isdecimal():
        sys.exit("usage: PROOF_KEY=... sign_action.py PLAYER TYPE POINTS [ID]")
    player, action_type, points, *action_id = sys.argv[1:]
    sys.stdout.write(sign_action(os.environ["PROOF_KEY"], player, action_type, int(points), *action_id) + "\n")
