"""What the service itself is told: its database, whom it believes, what a player may do."""

from __future__ import annotations

from typing import Annotated, Literal

from leaderboard_operator.spec.kinds import MAX_POINTS, Duration, Part, Rule, SecretKey, field, ruled, within

Algorithm = Literal["HS256", "RS256", "ES256"]


class Database(Part, frozen=True):
    """The MongoDB that keeps the scores: version 6.0 or newer, a replica set or a sharded cluster."""

    connection_secret_ref: Annotated[SecretKey, field("The Secret that holds the connection string (mongodb://…).")]
    name: Annotated[
        str,
        field("Name of the database. One Leaderboard each.", min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_-]+$"),
        ruled(
            Rule("self == oldSelf", "the database of a Leaderboard cannot change; make a new Leaderboard for another"),
            Rule("!(self in ['admin', 'local', 'config'])", "that name is MongoDB's own; choose another"),
        ),
    ]
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        field("Whether the database is kept or dropped when the Leaderboard is deleted."),
    ] = "Retain"
    take_over_from: (
        Annotated[
            str,
            field(
                "Leaderboard, as namespace/name, whose database this one takes over. Delete that Leaderboard first. If "
                "unset, a database that belongs to another Leaderboard is refused.",
                max_length=316,
                pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?$",
            ),
        ]
        | None
    ) = None


class Jwt(Part, frozen=True):
    """How tokens are verified. Keys that rotate come by `jwksUrl`."""

    RULES = (
        Rule(
            "(has(self.secretRef) ? 1 : 0) + (has(self.jwksUrl) ? 1 : 0) + (has(self.jwksSecretRef) ? 1 : 0) == 1",
            "set exactly one of secretRef, jwksUrl and jwksSecretRef",
        ),
    )

    algorithm: Annotated[
        Algorithm, field("The one algorithm of `secretRef`'s key. With a JWK Set each key has its own.")
    ] = "HS256"
    secret_ref: (
        Annotated[SecretKey, field("The key: the shared secret of HS256, the public key (PEM) of RS256 and ES256.")]
        | None
    ) = None
    jwks_url: (
        Annotated[
            str,
            field("Address of the identity provider's JWK Set.", max_length=2048, pattern=r"^https://[^\s@#]+$"),
        ]
        | None
    ) = None
    jwks_secret_ref: Annotated[SecretKey, field("A JWK Set in a Secret.")] | None = None
    audience: (
        Annotated[
            str, field("Audience that a token must be for; several separated by commas.", min_length=1, max_length=256)
        ]
        | None
    ) = None
    issuer: Annotated[str, field("The `iss` that a token must carry.", min_length=1, max_length=2048)] | None = None


class Auth(Part, frozen=True):
    """Whom the service believes."""

    jwt: Annotated[Jwt, field("Tokens of players, game servers and administrators.")]


class Captcha(Part, frozen=True):
    """A captcha service, asked for updates without an action proof."""

    url: Annotated[
        str,
        field(
            "Address that verifies a solved captcha, such as hCaptcha's or Turnstile's siteverify.",
            max_length=2048,
            pattern=r"^https://[^\s@#]+$",
        ),
    ]
    secret_ref: Annotated[SecretKey, field("The secret that the captcha service knows this service by.")]


class Actions(Part, frozen=True):
    """What players get points for, and what proves it."""

    RULES = (
        Rule(
            "self.proof == 'Off' || has(self.proofKeySecretRef) || has(self.proofJwksSecretRef)",
            "set proofKeySecretRef to the key that action proofs are verified with, proofJwksSecretRef to a JWK Set of "
            "such keys, or proof to 'Off'",
        ),
        Rule(
            "!has(self.proofKeySecretRef) || !has(self.proofJwksSecretRef)",
            "set only one of proofKeySecretRef and proofJwksSecretRef",
        ),
    )

    proof: Annotated[
        Literal["Required", "Optional", "Off"],
        field("Whether a player's own update needs the game server's proof of the action. Quote 'Off' in YAML."),
    ] = "Required"
    proof_key_secret_ref: Annotated[SecretKey, field("The key of action proofs, none of the token keys.")] | None = None
    proof_jwks_secret_ref: (
        Annotated[SecretKey, field("A JWK Set of action proof keys, so that keys can be rotated without a pause.")]
        | None
    ) = None
    proof_algorithm: Annotated[
        Algorithm, field("The one algorithm of `proofKeySecretRef`'s key. With a JWK Set each key has its own.")
    ] = "HS256"
    captcha: Annotated[Captcha, field("A captcha for updates without an action proof. If unset, none.")] | None = None
    points: Annotated[
        dict[str, Annotated[int, field("Points.", ge=1, le=MAX_POINTS)]],
        field("Points by action type. Empty is the service's built-in table.", max_length=200),
        ruled(
            Rule(
                "self.all(type, type.matches('^[A-Za-z0-9_.-]{1,64}$'))",
                "an action type is 1 to 64 of A-Z a-z 0-9 _ . -",
            )
        ),
    ] = {}
    max_increment: Annotated[
        int, field("Maximum points of one update with a player's token and no action proof.", ge=1, le=MAX_POINTS)
    ] = 1000


class RateLimit(Part, frozen=True):
    """How often one player may score. An action's id is remembered for as long as its proof could be replayed."""

    RULES = (
        Rule(
            "self.updates * ((65000 + duration(self.window).getMilliseconds() - 1)"
            " / duration(self.window).getMilliseconds() + 1) <= 2000",
            "each player would have to remember more than 2000 actions; set fewer updates or a longer window",
        ),
    )

    updates: Annotated[int, field("Accepted updates of one player in any window.", ge=1, le=1000)] = 10
    window: Annotated[Duration, field("The window, which slides."), within("10ms", "24h")] = "60s"
    max_points_per_window: (
        Annotated[
            int,
            field(
                "Maximum points of one player in any window of the rate limit. If unset, there is no maximum.",
                ge=1,
                le=MAX_POINTS,
            ),
        ]
        | None
    ) = None


ORIGIN = r"^(\*|null|https?://\*\.[^\s/*]+|[A-Za-z][A-Za-z0-9+.-]*://[^\s/*]*)$"
"""The form of an origin; the service checks the rest."""


class Live(Part, frozen=True):
    """The live board."""

    broadcast_interval: Annotated[
        Duration,
        field("Average time between two messages of a top 10 that changes all the time."),
        within("10ms", "60s"),
    ] = "100ms"
    max_connections: Annotated[int, field("Maximum sockets of one pod.", ge=1, le=1_000_000)] = 20_000
    allowed_origins: Annotated[
        list[Annotated[str, field("An origin.", max_length=255, pattern=ORIGIN)]],
        field("Origins of other web pages that may open sockets and read answers; '*' alone is any.", max_length=32),
        ruled(Rule("!('*' in self) || self.size() == 1", "'*' stands alone")),
    ] = []


class Logging(Part, frozen=True):
    """What the service logs, one JSON object a line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        field("Lowest level to log. From warning on, the record of who did what is left out."),
    ] = "info"
    access: Annotated[bool, field("Log each request that is answered and each socket that ends.")] = False
