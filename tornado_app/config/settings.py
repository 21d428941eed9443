"""Every setting of the service, declared once: type, default, what it is for, and whether it is secret."""

# ruff: noqa: RUF009 - a default that is a call is how a dataclass field is declared
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tornado_app.config.declaration import Setting, setting, settings_of
from tornado_app.config.durations import Duration, Rate
from tornado_app.config.kinds import Choice, Count, File, Flag, Integer, Text, Texts
from tornado_app.config.network import Host, HostNames, MongodbUri, Network, Networks, Origins, Url
from tornado_app.core.model import MAX_SCORE, Scope
from tornado_app.core.policies import RateLimit

_DATABASE_NAME = r'[^/\\. "$*<>:|?]{1,63}'
_KEY = Text(what="a key: text, or PEM with its line breaks", lines=True)
_ALGORITHM = Choice(metavar="NAME", options=("HS256", "RS256", "ES256"))
_serving = partial(setting, group="Serving")
_database = partial(setting, group="Database")
_tokens = partial(setting, group="Tokens")
_proofs = partial(setting, group="Action proofs")
_rules = partial(setting, group="Rules")
_abuse = partial(setting, group="Against abuse")
_live = partial(setting, group="Live board")
_limits = partial(setting, group="Limits and deadlines")
_logs = partial(setting, group="Logs")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings as they are given. Durations are seconds; None is nothing given."""

    config: Path | None = _serving(File(metavar="FILE"), None, "YAML file of settings.", key=False)
    host: str = _serving(Host(), "127.0.0.1", "Address to serve on; :: is every interface, 0.0.0.0 every one of IPv4.")
    port: int = _serving(Integer(low=0, high=65535), 8000, "Port to serve on; 0 picks a free one.")
    metrics_host: str | None = _serving(Host(), None, "Address to serve /metrics on. If unset, that of `host`.")
    metrics_port: int = _serving(Integer(low=0, high=65535), 8001, "Port of /metrics; 0 picks a free one.")
    processes: int | Literal["auto"] = _serving(
        Count(low=1, high=256),
        1,
        "Processes that share the port; auto is one for each processor that the service may use. A limit that is said "
        "to be of a process holds in each. More than one needs Linux; elsewhere auto is 1.",
    )
    tls_cert_file: Path | None = _serving(
        File(), None, "Certificate chain (PEM) to serve HTTPS with; read again when it changes."
    )
    tls_key_file: Path | None = _serving(
        File(), None, "Private key (PEM) of `tls_cert_file`; read again when it changes."
    )

    data_dir: Path = _database(
        File(), Path("leaderboard-data"), "Folder of the embedded database and of the keys made for it."
    )
    mongodb_uri: str | None = _database(
        MongodbUri(),
        None,
        "MongoDB to use, a replica set or sharded cluster. If unset, the service starts an embedded one. Other users "
        "of the machine can read a flag: give a URI with a password by variable or file.",
        secret=True,
    )
    mongodb_uri_file: Path | None = _database(File(), None, "File that holds `mongodb_uri`, such as a mounted secret.")
    mongodb_database: str = _database(
        Text(
            metavar="NAME",
            what='a database name: 1 to 63 characters, none of / \\ . " $ * < > : | ? or space',
            pattern=_DATABASE_NAME,
            reserved=("admin", "local", "config"),
        ),
        "leaderboard",
        "Name of the database.",
    )
    database_owner: str | None = _database(
        Text(metavar="OWNER", what="namespace/name/uid", pattern=r"[^/\s]{1,253}/[^/\s]{1,253}/[^/\s]{1,64}"),
        None,
        "Installation that owns the database, as namespace/name/uid; the operator sets it. The service records it in "
        "the database and does not start where another namespace/name is recorded. If unset, ownership is not checked.",
    )
    database_previous_owner: str | None = _database(
        Text(metavar="OWNER", what="namespace/name", pattern=r"[^/\s]{1,253}/[^/\s]{1,253}"),
        None,
        "Owner, as namespace/name, that `database_owner` takes the database over from. If unset, a database of another "
        "owner is refused.",
    )
    mongodb_driver: Literal["pymongo", "motor"] = _database(
        Choice(metavar="NAME", options=("pymongo", "motor")),
        "pymongo",
        "MongoDB driver; motor needs the extra `motor`.",
    )
    mongodb_timeout: float = _database(
        Duration(low=0.01, high=300), 5.0, "Maximum wait for the database's answer to one operation."
    )

    jwt_key: str | None = _tokens(
        _KEY,
        None,
        "Key that tokens are verified with: the shared secret of HS256, the public key (PEM) of RS256 and ES256. "
        "Not taken as a flag, which other users of the machine can read.",
        secret=True,
        flag=False,
    )
    jwt_key_file: Path | None = _tokens(
        File(), None, "File that holds `jwt_key`, such as a mounted secret; a line break at its end does not count."
    )
    jwt_jwks_url: str | None = _tokens(
        Url(),
        None,
        "Address of the identity provider's JWK Set, instead of a key; fetched in the background, and again when a "
        "token names an unknown key id.",
    )
    jwt_jwks_file: Path | None = _tokens(
        File(), None, "File that holds a JWK Set, instead of a key; read again when it changes."
    )
    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = _tokens(
        _ALGORITHM,
        "HS256",
        "The one algorithm that tokens may be signed with. With a JWK Set it is not used: each key has its own.",
    )
    jwt_audience: tuple[str, ...] = _tokens(
        Texts(), (), "Audiences, one of which a token must be for. If empty, the audience is not checked."
    )
    jwt_audience_claims: tuple[str, ...] = _tokens(
        Texts(low=1),
        ("aud",),
        "Claims that may hold the audience. Amazon Cognito's access tokens have it in `client_id`, Clerk's in `azp`.",
    )
    jwt_issuer: str | None = _tokens(Text(), None, "Required `iss` claim. If unset, the issuer is not checked.")
    jwt_user_claim: str | None = _tokens(
        Text(),
        None,
        "Claim that holds the user id. If unset, `sub`, else `user_id`. This and the other names of claims may be a "
        "JSON Pointer, such as `/realm_access/roles`.",
    )
    jwt_name_claims: tuple[str, ...] = _tokens(
        Texts(),
        ("nickname", "preferred_username", "name"),
        "Claims whose first usable value is the display name, which is public; a value that looks like an e-mail "
        "address is skipped. If empty, tokens set no name.",
    )
    jwt_scope_claims: tuple[str, ...] = _tokens(
        Texts(low=1),
        ("scope", "scp"),
        "Claims that hold scopes, as text with spaces between them or as a list: also `permissions` or `roles`.",
    )
    jwt_write_scopes: tuple[str, ...] = _tokens(
        Texts(),
        (Scope.WRITE.value,),
        "Scopes that make the bearer a game server, which may write for every player without a proof. If empty, no "
        "token does.",
    )
    jwt_admin_scopes: tuple[str, ...] = _tokens(
        Texts(), (Scope.ADMIN.value,), "Scopes that make the bearer a moderator. If empty, no token does."
    )
    jwt_leeway: float = _tokens(
        Duration(low=0, high=60),
        5.0,
        "Maximum difference between the clocks of this service and of the token's issuer.",
    )

    action_proof: Literal["required", "optional", "off"] | None = _proofs(
        Choice(metavar="POLICY", options=("required", "optional", "off")),
        None,
        "Whether a player's own update needs the game server's proof of the action. If unset, `optional` on the "
        "embedded database and `required` with a MongoDB of your own.",
    )
    proof_key: str | None = _proofs(
        _KEY,
        None,
        "Key that action proofs are verified with, none of the token keys: the secret that the game server signs with "
        "(HS256), or the public half of its key (PEM; RS256 and ES256). Not taken as a flag, which other users of the "
        "machine can read.",
        secret=True,
        flag=False,
    )
    proof_key_file: Path | None = _proofs(
        File(), None, "File that holds `proof_key`, such as a mounted secret; a line break at its end does not count."
    )
    proof_jwks_file: Path | None = _proofs(
        File(), None, "File that holds a JWK Set, instead of `proof_key`; read again when it changes."
    )
    proof_algorithm: Literal["HS256", "RS256", "ES256"] = _proofs(
        _ALGORITHM,
        "HS256",
        "The one algorithm that action proofs may be signed with. With a JWK Set it is not used: each key has its own.",
    )
    proof_lifetime: float = _proofs(
        Duration(low=1, high=86400),
        60.0,
        "Maximum time from `iat` to `exp` of an action proof; action ids are remembered for longer.",
    )

    rate_limit: RateLimit = _rules(
        Rate(), RateLimit(), "Maximum accepted updates of one player in any window of time, over all processes."
    )
    max_points_per_window: int | None = _rules(
        Integer(low=1, high=MAX_SCORE),
        None,
        "Maximum points of one player in any window of `rate_limit`. If unset, there is no maximum.",
    )
    max_increment: int = _rules(
        Integer(low=1, high=MAX_SCORE),
        1000,
        "Maximum points of one update with a player's token and no action proof.",
    )
    auto_register: bool = _rules(
        Flag(), default=False, doc="Create an unknown player where the frontend would answer 404."
    )
    actions_file: Path | None = _rules(
        File(metavar="FILE"), None, "YAML file of points by action type. If unset, a small built-in table."
    )

    trusted_proxies: tuple[Network, ...] = _abuse(
        Networks(),
        (),
        "Networks of the proxies in front of the service, whose X-Forwarded-For is trusted. If empty, a client's "
        "address is that of its connection, so that behind a proxy all clients count as one.",
    )
    auth_failure_limit: RateLimit = _abuse(
        Rate(counted="requests", most=1_000_000),
        RateLimit(60, 60.0),
        "Maximum requests of one address, in this process, that need a token and come without one, or with one that "
        "is refused.",
    )
    max_connections_per_address: int = _abuse(
        Integer(low=1, high=1_000_000), 100, "Maximum sockets that one address may have open at once in this process."
    )
    auto_suspend: bool = _abuse(
        Flag(),
        default=False,
        doc=(
            "Suspend a player who breaks an abuse rule, until a moderator reinstates the player. If false, the "
            "service only logs it."
        ),
    )
    captcha_url: str | None = _abuse(
        Url(),
        None,
        "Address that verifies a solved captcha (hCaptcha's or Turnstile's siteverify). If set, an update without an "
        "action proof needs a captcha. If unset, no update does.",
    )
    captcha_secret: str | None = _abuse(
        Text(),
        None,
        "Secret of this service at `captcha_url`. Not taken as a flag, which other users of the machine can read.",
        secret=True,
        flag=False,
    )
    captcha_secret_file: Path | None = _abuse(
        File(), None, "File that holds `captcha_secret`; a line break at its end does not count."
    )

    broadcast_interval: float = _live(
        Duration(low=0.01, high=60), 0.1, "Average time between two messages of a top 10 that changes all the time."
    )
    max_messages_per_second: int = _live(
        Integer(low=1, high=1000), 10, "Maximum messages a second to one socket; the newest state wins."
    )
    max_connections: int = _live(
        Integer(low=1, high=1_000_000), 20_000, "Maximum sockets open at once in this process."
    )
    allowed_origins: tuple[str, ...] = _live(
        Origins(),
        (),
        "Origins of other web pages that may open sockets and read answers; * is any. If empty, only pages of this "
        "service itself may.",
    )
    allowed_hosts: tuple[str, ...] = _live(
        HostNames(),
        (),
        "Host names that requests may address, whatever the port; any other is refused with 421. If empty, any. "
        "`/healthz`, `/readyz` and the metrics port answer under any name. `leaderboard demo` on a loopback address "
        "allows the names of the loopback.",
    )
    ping_interval: float = _live(Duration(low=0.01, high=3600), 30.0, "Time between two pings to a socket.")

    max_pending_writes: int = _limits(
        Integer(low=1, high=1_000_000),
        10_000,
        "Maximum updates that wait for the database before new ones are refused; fewer where the last batch was so "
        "slow that they would wait for more than half of `mongodb_timeout`.",
    )
    idle_timeout: float = _limits(
        Duration(low=0.01, high=86400), 75.0, "How long a connection without a request stays open."
    )
    body_timeout: float = _limits(Duration(low=0.01, high=3600), 10.0, "Maximum wait for the whole body of a request.")
    send_timeout: float = _limits(
        Duration(low=0.1, high=3600),
        30.0,
        "Maximum time in which a client reads nothing of what was sent to it; then the connection is reset. A client "
        "that reads on, however slowly, is not affected.",
    )
    drain_timeout: float = _limits(
        Duration(low=0, high=3600),
        10.0,
        "Maximum time from the signal to stop to the end, in which requests under way are answered and everything is "
        "closed in order; what is left is cut off about 2 seconds later.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = _logs(
        Choice(metavar="LEVEL", options=("debug", "info", "warning", "error")), "info", "Lowest level to log."
    )
    log_format: Literal["auto", "json", "text"] = _logs(
        Choice(metavar="FORMAT", options=("auto", "json", "text")),
        "auto",
        "Form of a log line; auto is text on a terminal and json elsewhere.",
    )
    access_log: bool = _logs(
        Flag(),
        default=False,
        doc="Log each answered request and each closed socket. If false, only requests with a 5xx answer.",
    )


SETTINGS: tuple[Setting, ...] = settings_of(Settings)
"""Every setting, in the order of help and docs."""
