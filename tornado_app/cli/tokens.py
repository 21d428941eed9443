"""`leaderboard token` and `leaderboard sign-action`: their flags, keys and output."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from tornado_app.config import Config, InvalidValue, parse_duration
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core import identity
from tornado_app.core.boards import MAIN, NAME_PATTERN
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.core.model import MAX_SCORE, Caller, Scope, Submission
from tornado_app.core.policies import KeySettings

if TYPE_CHECKING:
    from tornado_app.auth.keys import SigningKey

TOKEN_SETTINGS = (
    "config", "data_dir", "mongodb_uri", "mongodb_uri_file", "jwt_key", "jwt_key_file", "jwt_jwks_url",
    "jwt_jwks_file", "jwt_algorithm", "jwt_audience", "jwt_audience_claims", "jwt_issuer", "jwt_user_claim",
    "jwt_name_claims", "jwt_scope_claims", "jwt_write_scopes", "jwt_admin_scopes", "jwt_leeway",
)  # fmt: skip
"""The settings for signing a token."""

PROOF_SETTINGS = (
    "config", "data_dir", "mongodb_uri", "mongodb_uri_file", "proof_key", "proof_key_file", "proof_jwks_file",
    "proof_algorithm", "proof_lifetime", "actions_file", "action_proof",
)  # fmt: skip
"""The settings for signing an action proof."""

_TOKEN_TTL = 3600.0
"""Seconds for which a token is valid without --ttl."""

MAX_INPUT = 1024 * 1024
"""Maximum characters of standard input."""

MINTING_EXAMPLES = """examples:
  leaderboard token --sub alice --name "Zoë"
  leaderboard token --sub game-1 --scope scores:write --ttl 12h
  curl -H "Authorization: Bearer $(leaderboard token --sub alice)" --json '{"score": 5}' http://127.0.0.1:8000/api/score
  leaderboard token --check - --jwt-jwks-url https://id.example.com/jwks < token.txt
      whether the service accepts a token, as which player, and why not

It signs with the secret of jwt_key or jwt_key_file, or with the key that was made in the data folder."""
SIGNING_EXAMPLES = """examples:
  leaderboard sign-action --sub alice --type level_complete
  leaderboard sign-action --sub alice --type boss --points 5000 --id boss-8c1f --ttl 30s
  leaderboard sign-action --sub alice --type lap --score 83123 --board kart
  curl -H "Authorization: Bearer $(leaderboard token --sub alice)" \\
       -H "Action-Proof: $(leaderboard sign-action --sub alice --type level_complete --points 50)" \\
       --json '{"score": 50}' http://127.0.0.1:8000/api/score
  leaderboard sign-action --check - --sub alice --points 50 < proof.txt
      whether the service accepts a proof of this request, and why not

It signs with the secret of proof_key or proof_key_file, or with the key that was made in the data folder."""


def add_token_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard token` to `parser`."""
    _add_purpose(parser, "token")
    parser.add_argument("--sub", metavar="ID", type=_user_id, help="user id that the token is for")
    parser.add_argument("--name", type=_username, help="display name")
    parser.add_argument("--picture", metavar="URL", type=_avatar_url, help="avatar image, http:// or https://")
    scopes = "scope: scores:write (a game server), leaderboard:admin; may be repeated"
    parser.add_argument("--scope", action="append", default=[], type=_scope, help=scopes)
    parser.add_argument("--ttl", type=_duration, metavar="TIME", help="lifetime (default: 1h)")
    add_some_settings(parser, TOKEN_SETTINGS)


def add_proof_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard sign-action` to `parser`."""
    _add_purpose(parser, "action proof")
    parser.add_argument("--sub", metavar="ID", type=_user_id, help="user id of the player")
    parser.add_argument("--type", help="action type, such as level_complete")
    points = "points (default: those of the type in the service's table of actions)"
    value = parser.add_mutually_exclusive_group()
    value.add_argument("--points", type=_points, metavar="N", help=points)
    value.add_argument("--score", type=int, metavar="N", help="score, for a board of the rule best or last")
    parser.add_argument("--board", type=board_name, help="board that the action counts on (default: main)")
    parser.add_argument("--id", help="id of the action, which makes it count once (default: random)")
    valid = "lifetime (default and maximum: proof_lifetime)"
    parser.add_argument("--ttl", type=_duration, metavar="TIME", help=valid)
    add_some_settings(parser, PROOF_SETTINGS)


def _add_purpose(parser: argparse.ArgumentParser, what: str) -> None:
    about = f"check this {what} with the service's settings instead of making one; - reads it from standard input"
    parser.add_argument("--check", metavar="TEXT|-", help=f"{about}; exit 0 if it is accepted, 1 if not")


def _require(options: argparse.Namespace, *names: str) -> None:
    """Raises ConfigError if one of these flags is missing, which only --check does not need."""
    missing = [f"--{name}: it is missing; give it, or --check" for name in names if getattr(options, name) is None]
    if missing:
        raise ConfigError(missing)


def _refuse(options: argparse.Namespace, *names: str) -> None:
    """Raises ConfigError if one of these flags is given, which --check does not use."""
    given = [f"--{name}: --check does not use it; leave it out" for name in names if getattr(options, name)]
    if given:
        raise ConfigError(given)


def _given(text: str) -> str:
    """The token or proof to check; a copied header works too."""
    found = (sys.stdin.read(MAX_INPUT) if text == "-" else text).strip()
    scheme, _, rest = found.partition(" ")
    found = rest.strip() if scheme.lower() == "bearer" else found
    if not found:
        raise ConfigError(["--check: it is empty; give the text, or - and the text on standard input"])
    return found


def token(options: argparse.Namespace) -> int:
    """Print a bearer token, or check one."""
    config = load_options(options, relevant=TOKEN_SETTINGS)
    if options.check is not None:
        _refuse(options, "sub", "name", "picture", "scope", "ttl")
        from tornado_app.cli import check

        return check.check_token(config, _given(options.check))
    _require(options, "sub")
    refuse_foreign_tokens(config)
    from tornado_app.auth import key_parsing, minting

    try:
        key = _signing_key(config.token_keys, "token")
        text = minting.mint(
            key,
            sub=options.sub,
            name=options.name,
            picture=options.picture,
            scopes=" ".join(options.scope).split(),
            ttl=_TOKEN_TTL if options.ttl is None else options.ttl,
            audience=next(iter(config.jwt_audience), None),
            issuer=config.jwt_issuer,
            names=config.claim_names,
        )
    except key_parsing.UnusableKey as error:
        raise StartupError(str(error)) from None
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    _print(text)
    return 0


def sign_action(options: argparse.Namespace) -> int:
    """Print an action proof, or check one."""
    config = load_options(options, relevant=PROOF_SETTINGS)
    if options.check is not None:
        _refuse(options, "ttl")
        from tornado_app.cli import check

        caller = Caller(options.sub or "", 0.0)
        request = Submission(
            caller, action_type=options.type, action_id=options.id, points=options.points, score=options.score
        )
        return check.check_proof(config, _given(options.check), request, board=options.board)
    _require(options, "sub", "type")
    _refuse_foreign_proofs(config)
    ttl = config.proof_lifetime if options.ttl is None else options.ttl
    if ttl > config.proof_lifetime:
        raise ConfigError([f"--ttl: the service takes proofs of at most {config.proof_lifetime:g} s (proof_lifetime)"])
    from tornado_app.auth import key_parsing, proofs

    try:
        key = _signing_key(config.proof_keys, "action proof")
        text = proofs.sign_action(
            key,
            sub=options.sub,
            action_type=options.type,
            points=options.points,
            score=options.score,
            action_id=options.id,
            board=options.board or MAIN.name,
            ttl=ttl,
        )
    except key_parsing.UnusableKey as error:
        raise StartupError(str(error)) from None
    except ValueError as error:
        raise ConfigError([str(error)]) from None
    if options.points is None and options.score is None and options.type not in config.action_points:
        known = ", ".join(config.action_points)
        sys.stderr.write(f"warning: {options.type} is not in the table of actions ({known}); name its --points\n")
    _print(text)
    return 0


def refuse_foreign_tokens(config: Config) -> None:
    """Raises ConfigError if only an identity provider can sign tokens."""
    jwks = next((name for name in ("jwt_jwks_url", "jwt_jwks_file") if getattr(config, name) is not None), None)
    if jwks is not None:
        raise ConfigError([f"{jwks}: tokens cannot be signed here: your identity provider has the keys"])
    if config.jwt_algorithm != "HS256":
        signer = "the issuer of your tokens has the private key"
        raise ConfigError([f"jwt_algorithm: {config.jwt_algorithm} tokens cannot be signed here: {signer}"])


def _refuse_foreign_proofs(config: Config) -> None:
    signer = "the game server has the private key"
    if config.proof_jwks_file is not None:
        raise ConfigError([f"proof_jwks_file: actions cannot be signed here: {signer}"])
    if config.proof_algorithm != "HS256":
        raise ConfigError([f"proof_algorithm: {config.proof_algorithm} proofs cannot be signed here: {signer}"])
    if not config.embedded and config.proof_key is None and config.proof_key_file is None:
        ways = "set LEADERBOARD_PROOF_KEY, or LEADERBOARD_PROOF_KEY_FILE to its file"
        raise ConfigError([f"proof_key: it is missing, and with your own MongoDB no key is generated; {ways}"])


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _signing_key(settings: KeySettings, purpose: str) -> SigningKey:
    """The key that signs a token or proof, generated if it is not set and the service has not generated it yet."""
    from tornado_app.auth import key_loading

    is_new = not settings.configured and not settings.generated.exists()
    try:
        key = key_loading.load_signing_key(settings)
    except OSError as error:
        path = settings.key_file or settings.generated
        raise StartupError(f"{path} cannot be read or created: {error.strerror}. Name another --data-dir.") from None
    if is_new:
        path = settings.generated
        sys.stderr.write(
            f"A new key was generated: {path}. A service with the same --data-dir accepts this {purpose}.\n"
        )
    return key


def _scope(text: str) -> str:
    unknown = set(text.split()) - set(Scope)
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no scope {min(unknown)}; there are {' and '.join(Scope)}")
    return text


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except InvalidValue:
        seconds = 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError("give a duration such as 90s, 15m or 12h")
    return seconds


def _points(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and 1 <= int(text) <= MAX_SCORE):
        raise argparse.ArgumentTypeError(f"give a whole number of 1 to {MAX_SCORE}")
    return int(text)


def board_name(text: str) -> str:
    """The value of a flag `--board`."""
    if not re.fullmatch(NAME_PATTERN, text):
        raise argparse.ArgumentTypeError("a board's name has 1 to 32 characters of a-z, 0-9 and -, the first a letter")
    return text


def _user_id(text: str) -> str:
    if not identity.is_user_id(text):
        raise argparse.ArgumentTypeError(f"a user id has {identity.USER_ID_FORM}")
    return text


def _username(text: str) -> str:
    name = identity.username(text)
    if name is None:
        raise argparse.ArgumentTypeError(
            "a name has 1 to 64 characters, one visible at least, none a control character"
        )
    return name


def _avatar_url(text: str) -> str:
    url = identity.avatar_url(text)
    if url is None:
        raise argparse.ArgumentTypeError("give an http:// or https:// address of at most 2048 characters")
    return url
