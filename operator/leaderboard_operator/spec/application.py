"""The service: its database, authentication, boards, actions, limits, live board and logs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from leaderboard_operator.spec.types import MAX_POINTS, Duration, Part, Rule, SecretKey, field, ruled, within

Algorithm = Literal["HS256", "RS256", "ES256"]


class Database(Part, frozen=True):
    """The MongoDB database of the scores: version 6.0 or newer, a replica set or a sharded cluster."""

    connection_secret_ref: Annotated[SecretKey, field("The Secret with the connection string (mongodb://…).")]
    name: Annotated[
        str,
        field(
            "Name of the database. Each Leaderboard needs its own.",
            min_length=1,
            max_length=63,
            pattern=r"^[A-Za-z0-9_-]+$",
        ),
        ruled(
            Rule(
                "self == oldSelf",
                "the database of a Leaderboard cannot change; create a new Leaderboard for another database",
            ),
            Rule("!(self in ['admin', 'local', 'config'])", "MongoDB reserves that name; choose another"),
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
    """Verification of tokens. Use `jwksUrl` for keys that rotate."""

    RULES = (
        Rule(
            "(has(self.secretRef) ? 1 : 0) + (has(self.jwksUrl) ? 1 : 0) + (has(self.jwksSecretRef) ? 1 : 0) == 1",
            "set exactly one of secretRef, jwksUrl and jwksSecretRef",
        ),
    )

    algorithm: Annotated[
        Algorithm, field("Algorithm of the key in `secretRef`. The keys of a JWK Set name theirs.")
    ] = "HS256"
    secret_ref: (
        Annotated[SecretKey, field("The key: the shared secret of HS256, the public key (PEM) of RS256 and ES256.")]
        | None
    ) = None
    jwks_url: (
        Annotated[
            str,
            field("URL of the identity provider's JWK Set.", max_length=2048, pattern=r"^https://[^\s@#]+$"),
        ]
        | None
    ) = None
    jwks_secret_ref: Annotated[SecretKey, field("A JWK Set in a Secret.")] | None = None
    audience: (
        Annotated[
            str,
            field(
                "Accepted audiences, separated by commas. A token must have one of them. If unset, the audience is not "
                "checked.",
                min_length=1,
                max_length=256,
            ),
        ]
        | None
    ) = None
    issuer: (
        Annotated[
            str, field("Required `iss` claim. If unset, the claim is not checked.", min_length=1, max_length=2048)
        ]
        | None
    ) = None


class Auth(Part, frozen=True):
    """Authentication."""

    jwt: Annotated[Jwt, field("Tokens of players, game servers and administrators.")]


class Bounds(Part, frozen=True):
    """The lowest and the highest value that may be submitted. An unset one is no bound."""

    RULES = (
        Rule("has(self.min) || has(self.max)", "set min, max or both, or leave bounds out"),
        Rule("!has(self.min) || !has(self.max) || self.min <= self.max", "min is greater than max; exchange them"),
    )

    min: Annotated[int, field("Lowest value.", ge=-MAX_POINTS, le=MAX_POINTS)] | None = None
    max: Annotated[int, field("Highest value.", ge=-MAX_POINTS, le=MAX_POINTS)] | None = None


class Period(Part, frozen=True):
    """A period, such as weeks. Without `cron` and `every`, an epoch ends when it is ended by hand."""

    RULES = (
        Rule("!has(self.cron) || !has(self.every)", "cron and every exclude each other; set one of them, or neither"),
        Rule("has(self.every) == has(self.from)", "set both every and from, or neither"),
        Rule(
            "!has(self.timeZone) || has(self.cron) || has(self.every)",
            "timeZone has no effect without cron or every; set one of them, or unset timeZone",
        ),
    )

    cron: (
        Annotated[
            str,
            field(
                "Boundaries between epochs: minute, hour, day, month and day of the week.",
                max_length=100,
                pattern=r"^\S+( +\S+){4}$",
            ),
        ]
        | None
    ) = None
    every: (
        Annotated[
            str,
            field(
                "Interval between boundaries, in w, d, h, m or s, such as 14d.",
                max_length=5,
                pattern=r"^[1-9][0-9]{0,3}[wdhms]$",
            ),
        ]
        | None
    ) = None
    from_: (
        Annotated[
            str,
            field(
                "Local time of the first boundary of `every`, in the years 1970 to 2099.",
                max_length=16,
                pattern=r"^(19[789]|20[0-9])[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$",
            ),
        ]
        | None
    ) = msgspec.field(name="from", default=None)
    time_zone: (
        Annotated[
            str,
            field(
                "IANA time zone of `cron` and `from`. If unset, UTC.",
                max_length=64,
                pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$",
            ),
        ]
        | None
    ) = None
    keep: Annotated[int, field("Number of results that are kept.", ge=1, le=1000)] = 12
    review: Annotated[
        Duration,
        field("Time after the end of an epoch in which moderation still changes its result."),
        within("0s", "720h"),
    ] = "0s"


PERIOD_PATTERN, MAX_PERIODS, ALL_TIME = "[a-z][a-z0-9]{0,15}", 3, "all"
"""Those of the service. A test compares them."""


class Board(Part, frozen=True):
    """A board."""

    RULES = (
        Rule(
            "self.rule == oldSelf.rule && self.order == oldSelf.order",
            "rule and order of a board cannot change; add a board of another name",
        ),
        Rule(
            "self.rule != 'Sum' || !has(self.bounds) || !has(self.bounds.max) || self.bounds.max >= 1",
            "points are 1 or more; set max to 1 or more",
        ),
        Rule("!has(self.shows) || self.shows in self.periods", "shows must be the name of a period of the board"),
    )

    rule: Annotated[
        Literal["Sum", "Best", "Last"],
        field(
            "What a submitted value does: it is added, it becomes the score if it is better, or it becomes the score."
        ),
    ] = "Sum"
    order: Annotated[Literal["Descending", "Ascending"], field("Whether the highest or the lowest score is first.")] = (
        "Descending"
    )
    bounds: Annotated[Bounds, field("Bounds of a submitted value. If unset, there are none.")] | None = None
    periods: Annotated[
        dict[str, Period],
        field("Periods by name. Scores count in each of them, too.", max_length=MAX_PERIODS),
        ruled(
            Rule(
                f"self.all(name, name.matches('^{PERIOD_PATTERN}$'))",
                "the name of a period is up to 16 of a-z 0-9, with a letter first",
            ),
            Rule(
                f"!('{ALL_TIME}' in self)",
                f"a period cannot have the name {ALL_TIME}: ?period={ALL_TIME} reads the scores of all time",
            ),
        ),
    ] = {}
    shows: (
        Annotated[str, field("Period that APIs A to E read. If unset, scores of all time.", max_length=16)] | None
    ) = None


NAME_PATTERN, MAX_BOARDS = "[a-z][a-z0-9-]{0,31}", 100
"""Those of the service. A test compares them."""

Boards = Annotated[
    dict[str, Board],
    field(
        "Boards by name. `main` exists also if it is not listed. A change replaces no pods. A removed board is not "
        "served any more; its data stays.",
        max_length=MAX_BOARDS,
    ),
    ruled(
        Rule(
            f"size(self) + ('main' in self ? 0 : 1) <= {MAX_BOARDS}",
            f"more than {MAX_BOARDS} boards with main; use another Leaderboard for the others",
        ),
        Rule(
            f"self.all(name, name.matches('^{NAME_PATTERN}$'))",
            "the name of a board is up to 32 of a-z 0-9 -, with a letter first",
        ),
    ),
]


class Captcha(Part, frozen=True):
    """A captcha service, which verifies updates without an action proof."""

    url: Annotated[
        str,
        field(
            "URL that verifies a solved captcha, such as siteverify of hCaptcha or Turnstile.",
            max_length=2048,
            pattern=r"^https://[^\s@#]+$",
        ),
    ]
    secret_ref: Annotated[SecretKey, field("The secret of this service at the captcha service.")]


class Actions(Part, frozen=True):
    """Actions that give points, and their proofs."""

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
        field("Whether an update with a player's token needs a proof by the game server. Quote 'Off' in YAML."),
    ] = "Required"
    proof_key_secret_ref: (
        Annotated[SecretKey, field("The key of action proofs. It must not be a token key.")] | None
    ) = None
    proof_jwks_secret_ref: (
        Annotated[SecretKey, field("A JWK Set of action proof keys, for rotation without a pause.")] | None
    ) = None
    proof_algorithm: Annotated[
        Algorithm, field("Algorithm of the key in `proofKeySecretRef`. The keys of a JWK Set name theirs.")
    ] = "HS256"
    captcha: (
        Annotated[Captcha, field("A captcha for updates without an action proof. If unset, there is none.")] | None
    ) = None
    points: Annotated[
        dict[str, Annotated[int, field("Points.", ge=1, le=MAX_POINTS)]],
        field("Points by action type. If empty, the built-in table of the service.", max_length=200),
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
    """Maximum rate of updates per player. Each action id is stored for as long as its proof is valid."""

    RULES = (
        Rule(
            "self.updates * ((65000 + duration(self.window).getMilliseconds() - 1)"
            " / duration(self.window).getMilliseconds() + 1) <= 2000",
            "more than 2000 action ids per player would be stored; set fewer updates or a longer window",
        ),
    )

    updates: Annotated[int, field("Maximum accepted updates of one player in a window.", ge=1, le=1000)] = 10
    window: Annotated[Duration, field("Length of the sliding window."), within("10ms", "24h")] = "60s"
    max_points_per_window: (
        Annotated[
            int,
            field(
                "Maximum points of one player in a window. If unset, there is no maximum.",
                ge=1,
                le=MAX_POINTS,
            ),
        ]
        | None
    ) = None


ORIGIN = r"^(\*|null|https?://\*\.[^\s/*]+|[A-Za-z][A-Za-z0-9+.-]*://[^\s/*]*)$"
"""The syntax of an origin. The service checks it in full."""


class Live(Part, frozen=True):
    """The live leaderboard."""

    broadcast_interval: Annotated[
        Duration,
        field("Average time between two messages if the top 10 changes continuously."),
        within("10ms", "60s"),
    ] = "100ms"
    max_connections: Annotated[int, field("Maximum number of sockets per pod.", ge=1, le=1_000_000)] = 20_000
    allowed_origins: Annotated[
        list[Annotated[str, field("An origin.", max_length=255, pattern=ORIGIN)]],
        field(
            "Origins of other web pages that may open sockets and read responses. '*' is all origins.", max_length=32
        ),
        ruled(Rule("!('*' in self) || self.size() == 1", "'*' must be the only origin")),
    ] = []


class Logging(Part, frozen=True):
    """Logs of the service, one JSON object per line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        field("Minimum level. With warning or error, the submission log is omitted."),
    ] = "info"
    access: Annotated[bool, field("Whether to log each request and each closed socket.")] = False
