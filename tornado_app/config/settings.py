"""Every setting of the service: its type, default, help text, and whether it is secret."""

# ruff: noqa: RUF009 - a default that is a call is how a dataclass field is declared
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tornado_app.config.declaration import Setting, setting, settings_of
from tornado_app.config.network import Host, HostNames, MongodbUri, Network, Networks, Origins, Url
from tornado_app.config.value_types import Choice, Count, Days, Duration, File, Flag, Integer, Rate, Text, Texts
from tornado_app.core.model import MAX_SCORE, Scope
from tornado_app.core.policies import RateLimit

_DATABASE_NAME = r'[^/\\. "$*<>:|?]{1,63}'
_KEY = Text(expected="a key (text, or PEM with line breaks)", lines=True)
_ALGORITHM = Choice(metavar="NAME", options=("HS256", "RS256", "ES256"))
_serving = partial(setting, group="Serving")
_database = partial(setting, group="Database")
_tokens = partial(setting, group="Tokens")
_proofs = partial(setting, group="Action proofs")
_rules = partial(setting, group="Rules")
_abuse = partial(setting, group="Abuse protection")
_live = partial(setting, group="Live board")
_limits = partial(setting, group="Limits and timeouts")
_logs = partial(setting, group="Logs")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings as given. Durations are in seconds; None means unset."""

    config: Path | None = _serving(
        File(metavar="FILE"), None, "YAML file of settings. If unset, no file is read.", key=False
    )
    host: str = _serving(
        Host(), "127.0.0.1", "Address to listen on. `::` is every interface, `0.0.0.0` every IPv4 interface."
    )
    port: int = _serving(Integer(low=0, high=65535), 8000, "Port to listen on. 0 picks a free port.")
    metrics_host: str | None = _serving(Host(), None, "Address of `/metrics`. If unset, `host`.")
    metrics_port: int = _serving(Integer(low=0, high=65535), 8001, "Port of `/metrics`. 0 picks a free port.")
    processes: int | Literal["auto"] = _serving(
        Count(low=1, high=256),
        1,
        "Number of worker processes that share the port. `auto` is one per available CPU. Limits per process apply to "
        "each of them. More than one process needs Linux; elsewhere `auto` is 1.",
    )
    tls_cert_file: Path | None = _serving(
        File(),
        None,
        "TLS certificate chain (PEM). If unset, the service serves plain HTTP. Reloaded when the file changes.",
    )
    tls_key_file: Path | None = _serving(
        File(), None, "TLS private key (PEM) of `tls_cert_file`. Reloaded when the file changes."
    )

    data_dir: Path = _database(
        File(), Path("leaderboard-data"), "Directory of the embedded database and of its generated keys."
    )
    mongodb_uri: str | None = _database(
        MongodbUri(),
        None,
        "Connection string of a MongoDB replica set or sharded cluster. If unset, the service starts an embedded "
        "MongoDB. Set a URI with a password by variable or file, because other users of the machine can read flags.",
        secret=True,
    )
    mongodb_uri_file: Path | None = _database(
        File(), None, "File that contains `mongodb_uri`, such as a mounted secret."
    )
    mongodb_database: str = _database(
        Text(
            metavar="NAME",
            expected='a database name: 1 to 63 characters, none of / \\ . " $ * < > : | ? or space',
            pattern=_DATABASE_NAME,
            reserved=("admin", "local", "config"),
        ),
        "leaderboard",
        "Name of the database.",
    )
    database_owner: str | None = _database(
        Text(metavar="OWNER", expected="namespace/name/uid", pattern=r"[^/\s]{1,253}/[^/\s]{1,253}/[^/\s]{1,64}"),
        None,
        "Installation that owns the database, as namespace/name/uid; the operator sets it. The service records it in "
        "the database and does not start if another namespace/name is recorded. If unset, ownership is not checked.",
    )
    database_previous_owner: str | None = _database(
        Text(metavar="OWNER", expected="namespace/name", pattern=r"[^/\s]{1,253}/[^/\s]{1,253}"),
        None,
        "Owner, as namespace/name, that `database_owner` takes the database over from. If unset, the service does not "
        "start with a database of another owner.",
    )
    mongodb_driver: Literal["pymongo", "motor"] = _database(
        Choice(metavar="NAME", options=("pymongo", "motor")),
        "pymongo",
        "MongoDB driver. `motor` needs the extra `motor`.",
    )
    mongodb_timeout: float = _database(Duration(low=0.01, high=300), 5.0, "Timeout of one database operation.")
    ledger_retention: float | None = _database(
        Days(low=7),
        None,
        "Time after which a player's ledger entries are folded into one, with their sum and the hash of the last. They "
        "can no longer be shown or taken back. If unset, all entries are kept.",
    )

    jwt_key: str | None = _tokens(
        _KEY,
        None,
        "Key that verifies tokens: the shared secret for HS256, the public key (PEM) for RS256 and ES256. Not a flag, "
        "because other users of the machine can read flags.",
        secret=True,
        flag=False,
    )
    jwt_key_file: Path | None = _tokens(
        File(),
        None,
        "File that contains `jwt_key`, such as a mounted secret. A trailing line break is ignored. Reloaded when it "
        "changes.",
    )
    jwt_jwks_url: str | None = _tokens(
        Url(),
        None,
        "URL of the identity provider's JWK Set, instead of a key. Fetched in the background, and again for a token "
        "with "
        "an unknown key id.",
    )
    jwt_jwks_file: Path | None = _tokens(
        File(), None, "File that contains a JWK Set, instead of a key. Reloaded when it changes."
    )
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = _tokens(
        _ALGORITHM,
        "HS256",
        "Required signature algorithm of tokens. Not used with a JWK Set, whose keys have an algorithm each.",
    )
    jwt_audience: tuple[str, ...] = _tokens(
        Texts(), (), "Accepted audiences. A token must have one of them. If empty, the audience is not checked."
    )
    jwt_audience_claims: tuple[str, ...] = _tokens(
        Texts(low=1),
        ("aud",),
        "Claims that may contain the audience. Amazon Cognito uses `client_id` in access tokens, Clerk uses `azp`.",
    )
    jwt_issuer: str | None = _tokens(Text(), None, "Required `iss` claim. If unset, the issuer is not checked.")
    jwt_user_claim: str | None = _tokens(
        Text(),
        None,
        "Claim that contains the user id. If unset, `sub`, else `user_id`. Each claim name may be a JSON Pointer, such "
        "as `/realm_access/roles`.",
    )
    jwt_name_claims: tuple[str, ...] = _tokens(
        Texts(),
        ("nickname", "preferred_username", "name"),
        "Claims that may contain the public display name; the first usable value counts. Values that look like an "
        "e-mail address are skipped. If empty, tokens do not set a name.",
    )
    jwt_scope_claims: tuple[str, ...] = _tokens(
        Texts(low=1),
        ("scope", "scp"),
        "Claims that contain scopes, as space-separated text or as a list. Some providers use `permissions` or "
        "`roles`.",
    )
    jwt_write_scopes: tuple[str, ...] = _tokens(
        Texts(),
        (Scope.WRITE.value,),
        "Scopes of a game server, which may write for every player without a proof. If empty, no token grants this.",
    )
    jwt_admin_scopes: tuple[str, ...] = _tokens(
        Texts(), (Scope.ADMIN.value,), "Scopes of a moderator. If empty, no token grants this."
    )
    jwt_leeway: float = _tokens(
        Duration(low=0, high=60),
        5.0,
        "Maximum clock skew between this service and the issuer of tokens.",
    )

    action_proof: Literal["required", "optional", "off"] | None = _proofs(
        Choice(metavar="POLICY", options=("required", "optional", "off")),
        None,
        "Whether an update with a player's token needs an action proof from the game server. If unset, `optional` with "
        "the embedded database and `required` with your own MongoDB.",
    )
    proof_key: str | None = _proofs(
        _KEY,
        None,
        "Key that verifies action proofs: the game server's shared secret for HS256, its public key (PEM) for RS256 "
        "and "
        "ES256. It must differ from every token key. Not a flag, because other users of the machine can read flags.",
        secret=True,
        flag=False,
    )
    proof_key_file: Path | None = _proofs(
        File(),
        None,
        "File that contains `proof_key`, such as a mounted secret. A trailing line break is ignored. Reloaded when it "
        "changes.",
    )
    proof_jwks_file: Path | None = _proofs(
        File(), None, "File that contains a JWK Set, instead of `proof_key`. Reloaded when it changes."
    )
    proof_algorithm: Literal["HS256", "RS256", "ES256"] = _proofs(
        _ALGORITHM,
        "HS256",
        "Required signature algorithm of action proofs. Not used with a JWK Set, whose keys have an algorithm each.",
    )
    proof_lifetime: float = _proofs(
        Duration(low=1, high=86400),
        60.0,
        "Maximum time from `iat` to `exp` of an action proof. Action ids are remembered for longer.",
    )

    rate_limit: RateLimit = _rules(
        Rate(), RateLimit(), "Maximum accepted updates per player in any window of this length, over all processes."
    )
    max_points_per_window: int | None = _rules(
        Integer(low=1, high=MAX_SCORE),
        None,
        "Maximum points per player in any window of `rate_limit`. If unset, there is no maximum.",
    )
    max_increment: int = _rules(
        Integer(low=1, high=MAX_SCORE),
        1000,
        "Maximum points for an update without an action proof.",
    )
    auto_register: bool = _rules(
        Flag(), default=False, doc="Create unknown players in the APIs that would otherwise answer 404."
    )
    actions_file: Path | None = _rules(
        File(metavar="FILE"), None, "YAML file of points by action type. If unset, a small built-in table is used."
    )
    boards_file: Path | None = _rules(
        File(metavar="FILE"),
        None,
        "YAML file of the boards: for each the rule, the order and the bounds. If unset, there is the board `main` "
        "alone: points are added, the highest score is first, and there are no bounds.",
    )

    trusted_proxies: tuple[Network, ...] = _abuse(
        Networks(),
        (),
        "Networks of the proxies whose X-Forwarded-For is trusted. If empty, a client's address is that of its "
        "connection, so that all clients behind a proxy count as one.",
    )
    auth_failure_limit: RateLimit = _abuse(
        Rate(counted="requests", maximum=1_000_000),
        RateLimit(60, 60.0),
        "Maximum failed authentications (token missing or refused) per client address and process.",
    )
    max_connections_per_address: int = _abuse(
        Integer(low=1, high=1_000_000), 100, "Maximum open WebSockets per client address and process."
    )
    auto_suspend: bool = _abuse(
        Flag(),
        default=False,
        doc=(
            "Suspend players reported by the abuse rules until a moderator reinstates them. If false, reports are only "
            "logged and counted."
        ),
    )
    captcha_url: str | None = _abuse(
        Url(),
        None,
        "URL that verifies solved captchas (`siteverify` of hCaptcha or Turnstile). If set, an update without an "
        "action "
        "proof needs a captcha. If unset, captchas are not used.",
    )
    captcha_secret: str | None = _abuse(
        Text(),
        None,
        "Secret of this service at `captcha_url`. Not a flag, because other users of the machine can read flags.",
        secret=True,
        flag=False,
    )
    captcha_secret_file: Path | None = _abuse(
        File(), None, "File that contains `captcha_secret`. A trailing line break is ignored."
    )

    broadcast_interval: float = _live(
        Duration(low=0.01, high=60), 0.1, "Minimum average interval between broadcasts of the top 10."
    )
    max_messages_per_second: int = _live(
        Integer(low=1, high=1000), 10, "Maximum messages per second to one WebSocket. Intermediate states are skipped."
    )
    max_connections: int = _live(Integer(low=1, high=1_000_000), 20_000, "Maximum open WebSockets per process.")
    allowed_origins: tuple[str, ...] = _live(
        Origins(),
        (),
        "Web origins that may open WebSockets and read responses. * allows any origin. If empty, only pages that "
        "this "
        "service serves may.",
    )
    allowed_hosts: tuple[str, ...] = _live(
        HostNames(),
        (),
        "Accepted host names of requests, on any port; requests for other hosts are answered with 421. If empty, every "
        "host is accepted. `/healthz`, `/readyz` and the metrics port accept every host. `leaderboard demo` on a "
        "loopback address accepts loopback names only.",
    )
    ping_interval: float = _live(Duration(low=0.01, high=3600), 30.0, "Interval between pings to a WebSocket.")

    max_pending_writes: int = _limits(
        Integer(low=1, high=1_000_000),
        10_000,
        "Maximum queued updates; further ones are refused. The effective limit shrinks when the database is slow, so "
        "that queued updates finish within half of `mongodb_timeout`.",
    )
    idle_timeout: float = _limits(
        Duration(low=0.01, high=86400), 75.0, "Time after which a connection without a request is closed."
    )
    body_timeout: float = _limits(Duration(low=0.01, high=3600), 10.0, "Maximum time to receive the body of a request.")
    send_timeout: float = _limits(
        Duration(low=0.1, high=3600),
        30.0,
        "Time after which the connection of a client that reads nothing of what was sent to it is reset. Clients that "
        "read slowly are not affected.",
    )
    drain_timeout: float = _limits(
        Duration(low=0, high=3600),
        10.0,
        "Graceful shutdown timeout, in which requests in progress are answered. Remaining work is cancelled about 2 s "
        "after it expires.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = _logs(
        Choice(metavar="LEVEL", options=("debug", "info", "warning", "error")), "info", "Minimum level of log lines."
    )
    log_format: Literal["auto", "json", "text"] = _logs(
        Choice(metavar="FORMAT", options=("auto", "json", "text")),
        "auto",
        "Format of log lines. `auto` is text on a terminal and json elsewhere.",
    )
    access_log: bool = _logs(
        Flag(),
        default=False,
        doc="Log every request and every closed WebSocket. If false, only requests with a 5xx response are logged.",
    )


SETTINGS: tuple[Setting, ...] = settings_of(Settings)
"""Every setting, in the order of help and docs."""
