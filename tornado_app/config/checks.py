"""Checks across settings and of the files that they name, and warnings about unwise settings."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from tornado_app.config import keys
from tornado_app.config.files import read_secret
from tornado_app.config.network import MongodbUri, uri_option
from tornado_app.config.value_types import InvalidValue, format_duration
from tornado_app.core.boards import Board, Rule
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.core.policies import MAX_CLOCK_SKEW, MAX_IDEMPOTENCY_HISTORY, PROOF_LEEWAY, ProofPolicy, RateLimit

if TYPE_CHECKING:
    from tornado_app.config.configuration import Config
    from tornado_app.config.sources import LoadedSettings

MIN_POOL = 10
"""Connections to MongoDB that a process needs. The change stream keeps one busy; the batch write, the ledger, its
lease, the board, the probes, moderation and every read from the database use one each at the same time."""

Fault = tuple[str, str]
"""A setting's name and its error."""


def check(config: Config, loaded: LoadedSettings, relevant: Collection[str] | None = None) -> None:
    """Add to `loaded` each error between settings; checks of settings that are invalid by themselves are skipped.

    `relevant`: the settings that the caller uses; checks of any other setting are skipped. None is all.
    """
    for names, find in _CHECKS:
        if loaded.invalid.isdisjoint(names) and (relevant is None or set(names) <= set(relevant)):
            for name, problem in list(find(config)):
                loaded.add_error(name, problem)


def _ports(config: Config) -> Iterator[Fault]:
    hosts = {config.host, config.metrics_host or config.host}
    if config.port == config.metrics_port != 0 and (len(hosts) == 1 or hosts & {"0.0.0.0", "::"}):  # noqa: S104
        yield "metrics_port", f"{config.port} is the port of the service itself; give /metrics another"


def _processes(config: Config) -> Iterator[Fault]:
    if config.processes not in (1, "auto") and platform.system() != "Linux":
        yield "processes", "only Linux distributes the connections to one port among processes; use 1 here"


def _at_most_one(*names: str) -> Callable[[Config], Iterator[Fault]]:
    """A check that at most one of these alternative settings is given."""

    def find(config: Config) -> Iterator[Fault]:
        given = [name for name in names if getattr(config, name) is not None]
        for other in given[1:]:
            yield other, f"{given[0]} is set too; set only one of them"

    return find


def _uri_file(config: Config) -> Iterator[Fault]:
    if config.mongodb_uri_file is None:
        return
    try:
        MongodbUri().parse(read_secret(config.mongodb_uri_file, "mongodb_uri_file").strip())
    except ConfigError as error:
        yield "mongodb_uri_file", error.faults[0].removeprefix("mongodb_uri_file: ")
    except InvalidValue as hint:
        yield "mongodb_uri_file", f"{config.mongodb_uri_file} does not contain {MongodbUri().expected} ({hint})"


def _pool(config: Config) -> Iterator[Fault]:
    try:
        uri = config.read_mongodb_uri()
    except ConfigError:
        return  # a check of its own says why
    size = uri_option(uri or "", "maxPoolSize")
    if size is not None and size.isdecimal() and 0 < int(size) < MIN_POOL:
        yield (
            "mongodb_uri" if config.mongodb_uri_file is None else "mongodb_uri_file",
            (
                f"maxPoolSize={size} is too small: the change stream keeps one connection busy, and score updates, the "
                f"ledger, reads and probes would wait for each other; leave it out (100), or set at least {MIN_POOL}"
            ),
        )


def _timeout(config: Config) -> Iterator[Fault]:
    limit = config.rate_limit
    remembered = limit.windows(config.proof_lifetime + PROOF_LEEWAY) * limit.window - MAX_CLOCK_SKEW
    if config.mongodb_timeout > remembered:
        yield (
            "mongodb_timeout",
            (
                f"{format_duration(config.mongodb_timeout)} is longer than this rate_limit and proof_lifetime keep "
                "action ids, so that an action which is repeated for so long could count twice; give at most "
                f"{format_duration(math.floor(remembered * 1000) / 1000)}, or a longer proof_lifetime"
            ),
        )


def _memory(config: Config) -> Iterator[Fault]:
    limit, lifetime = config.rate_limit, config.proof_lifetime + PROOF_LEEWAY
    remembered = limit.idempotency_history_size(lifetime)
    if remembered > MAX_IDEMPOTENCY_HISTORY:
        most, longest = MAX_IDEMPOTENCY_HISTORY // limit.windows(lifetime), _longest_proof(limit)
        ways = [f"at most {most}/{format_duration(limit.window)} with this proof_lifetime"] if most else []
        if longest >= 1:
            ways.append(f"a proof_lifetime of at most {format_duration(longest)} with this rate_limit")
        yield (
            "rate_limit",
            (
                f"each player would have to remember {remembered} actions, and {MAX_IDEMPOTENCY_HISTORY} is the most; "
                f"set {' or '.join(ways) or 'a longer window and fewer updates'}"
            ),
        )


def _longest_proof(limit: RateLimit) -> float:
    """The maximum `proof_lifetime` in seconds, rounded down to milliseconds, for this limit; 0 if there is none."""
    if limit.idempotency_history_size(0) > MAX_IDEMPOTENCY_HISTORY:
        return 0.0
    ms = math.floor((MAX_IDEMPOTENCY_HISTORY // limit.updates * limit.window - PROOF_LEEWAY - MAX_CLOCK_SKEW) * 1000)
    while limit.idempotency_history_size(ms / 1000 + PROOF_LEEWAY) > MAX_IDEMPOTENCY_HISTORY:
        ms -= 1  # at most once: the division by the window may round up
    return ms / 1000


def _tls(config: Config) -> Iterator[Fault]:
    cert, key = config.tls_cert_file, config.tls_key_file
    if cert is None and key is None:
        return
    if cert is None or key is None:
        given, missing = ("tls_key_file", "tls_cert_file") if cert is None else ("tls_cert_file", "tls_key_file")
        yield given, f"{missing} is missing; HTTPS needs both"
        return
    from tornado_app.runtime.tls import server_context  # ssl is slow to import, and most processes serve plain HTTP

    try:
        server_context(cert, key)
    except StartupError as error:
        yield "tls_cert_file", str(error)


def _captcha(config: Config) -> Iterator[Fault]:
    secret = config.captcha_secret is not None or config.captcha_secret_file is not None
    if config.captcha_url is not None and not secret:
        yield (
            "captcha_url",
            "captcha_secret is missing; set LEADERBOARD_CAPTCHA_SECRET, or LEADERBOARD_CAPTCHA_SECRET_FILE to its file",
        )
    if config.captcha_url is None and secret:
        name = "captcha_secret" if config.captcha_secret_file is None else "captcha_secret_file"
        yield name, "captcha_url is missing, so that no captcha is required; set it, or omit this setting"
    if config.captcha_secret_file is not None:
        try:
            config.read_captcha_secret()
        except ConfigError as error:
            yield "captcha_secret_file", error.faults[0].removeprefix("captcha_secret_file: ")


def _data_dir(config: Config) -> Iterator[Fault]:
    if config.embedded and config.data_dir.exists() and not config.data_dir.is_dir():
        yield "data_dir", f"{config.data_dir} is not a folder; name another"


_DATABASE = ("mongodb_uri", "mongodb_uri_file")
_CAPTCHA = ("captcha_url", "captcha_secret", "captcha_secret_file")

# Checks for missing settings depend on `config`, because a file that cannot be read makes all of them look missing.
_CHECKS: tuple[tuple[tuple[str, ...], Callable[[Config], Iterator[Fault]]], ...] = (
    (("host", "port", "metrics_host", "metrics_port"), _ports),
    (("processes",), _processes),
    (_DATABASE, _at_most_one(*_DATABASE)),
    (keys.TOKEN_SOURCES, _at_most_one(*keys.TOKEN_SOURCES)),
    (keys.PROOF_SOURCES, _at_most_one(*keys.PROOF_SOURCES)),
    (_CAPTCHA[1:], _at_most_one(*_CAPTCHA[1:])),
    ((*keys.TOKEN_SOURCES, "jwt_algorithm"), keys.token_key),
    ((*keys.PROOF_SOURCES, "proof_algorithm"), keys.proof_key),
    (("config", *keys.TOKEN_SOURCES, "jwt_algorithm", *_DATABASE), keys.token_key_needed),
    (("config", *keys.PROOF_SOURCES, "proof_algorithm", "action_proof", *_DATABASE), keys.proof_key_needed),
    ((*keys.TOKEN_SOURCES, "jwt_algorithm", *keys.PROOF_SOURCES, "proof_algorithm"), keys.disjoint_keys),
    (("mongodb_uri_file",), _uri_file),
    (_DATABASE, _pool),
    (("mongodb_timeout", "rate_limit", "proof_lifetime"), _timeout),
    (("rate_limit", "proof_lifetime"), _memory),
    (("config", *_CAPTCHA), _captcha),
    (("config", "tls_cert_file", "tls_key_file"), _tls),
    (("data_dir",), _data_dir),
)


def warnings(config: Config) -> Iterator[str]:
    """Warnings about settings that are valid but unwise, a sentence each."""
    if config.sources.get("mongodb_uri") == "--mongodb-uri" and "@" in (config.mongodb_uri or ""):
        yield "--mongodb-uri holds credentials, which other users of this machine can read; use --mongodb-uri-file"
    if not config.embedded and config.proof_policy is not ProofPolicy.REQUIRED:
        most = (
            f"{config.max_increment} points an update" if config.proof_policy is ProofPolicy.OPTIONAL else "any points"
        )
        yield (
            f"action_proof is {config.proof_policy}: the holder of a player's token can score {most} without having "
            "played; set it to required, and have the game server sign actions"
        )
    scored = [board for board in config.boards if board.rule is not Rule.SUM]
    if config.max_points_per_window is not None and scored:
        yield (
            f"max_points_per_window does not apply to boards of the rule best or last ({_names(scored)}); set bounds "
            "in boards_file"
        )
    unbounded = [board for board in scored if board.bounds is None]
    if config.proof_policy is not ProofPolicy.REQUIRED and unbounded:
        yield (
            f"action_proof is {config.proof_policy}, and boards have no bounds ({_names(unbounded)}): the holder of a "
            "player's token can submit any score; set bounds in boards_file, or action_proof to required"
        )
    if config.jwt_jwks_url is not None and not config.jwt_audience:
        yield (
            "jwt_audience is empty: a token that the identity provider issued for another application is accepted too; "
            "set it to the audience of this service's tokens"
        )
    if any(network.prefixlen == 0 for network in config.trusted_proxies):
        yield "trusted_proxies contains every address, so that every client can choose its address"


def _names(boards: Iterable[Board]) -> str:
    return ", ".join(board.name for board in boards)
