"""The players of the demo: their names, of many scripts and all lengths, and the tokens that it signs for them."""

from __future__ import annotations

import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from tornado_app.auth import key_loading, key_parsing, minting
from tornado_app.config import Config
from tornado_app.core.errors import RateLimited, StartupError
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

NAMES = (
    "Zoë", "Łukasz", "さくら", "Nguyễn Thị Minh Khai", "عمر الخطّاط", "Αθηνά", "Øystein", "김민준", "Дарья ❄️", "שירה",
    "अनन्या शर्मा", "Chloé 🎮", "王小明", "Þórunn Ösp", "สมชาย ใจดี", "თამარი", "Kwabena Ọlá", "José María", "فاطمة",
    "Ивайло", "ᐃᓄᒃᓯᑦ", "李雷 🐉", "Ñusta", "தமிழ்செல்வி", "Mehmet Işık", "Գայանե", "Aaliyah", "たけし・ドラゴン", "نگار",
    "Siobhán", "Çağla", "ሰላማዊት", "Mānoa Keahi", "ঋতুপর্ণা", "Ömür", "박서연 ✨", "Đorđe", "Fionnghuala", "مریم نیلوفری",
    "Kai 🏄🏽‍♂️", "Ελευθερία", "Jürgen der Unaufhaltsame", "বিজয়", "Noor نور", "🦊", "လှလှ", "Xóchitl", "אורי 7",
    "Ada", "🇧🇷 Thiago", "Hubert Wolfeschlegelsteinhausenbergerdorff the Very Persistent",
    "ក្រសួង", "Wawrzyniec Brzęczyszczykiewicz", "Тамерлан", "ਹਰਪ੍ਰੀਤ", "Σίσυφος", "Ngũgĩ", "林 さん", "سلمان", "Æ 12",
)  # fmt: skip
"""Names of simulated players; after the last, they repeat with a number."""

_ADJECTIVES = (
    "Brave", "Bright", "Calm", "Cheerful", "Clever", "Curious", "Daring", "Eager", "Gentle", "Jolly", "Keen", "Lively",
    "Lucky", "Merry", "Mighty", "Nimble", "Patient", "Quick", "Quiet", "Sunny", "Swift", "Witty",
)  # fmt: skip
_ANIMALS = (
    "Badger", "Beaver", "Cricket", "Dolphin", "Falcon", "Ferret", "Gecko", "Heron", "Ibex", "Jackdaw", "Koala", "Lynx",
    "Marten", "Narwhal", "Otter", "Panda", "Puffin", "Quokka", "Raven", "Salmon", "Tapir", "Walrus", "Yak", "Zebra",
)  # fmt: skip

SESSION_TTL = 12 * 3600.0
"""Seconds that a visitor's token is valid."""

SESSIONS_PER_MINUTE = 60
"""Maximum new sessions per minute over all visitors, so that a script cannot create unlimited identities."""


class Persona(NamedTuple):
    """A user id and a display name."""

    user_id: str
    name: str


Mint = Callable[[Persona, float], str]
"""Returns a bearer token for a persona that is valid for this many seconds."""

CURL = Persona("curl", "Captain Curl")
"""The player of the curl lines that the demo prints."""


def simulated(number: int) -> Persona:
    """The simulated player with this number (from 0); always the same, so that a restarted demo continues."""
    again, place = divmod(number, len(NAMES))
    name = NAMES[place]
    if again:
        mark = f" {again + 1}"
        name = name[: 64 - len(mark)] + mark
    return Persona(f"demo-{number + 1:03d}", name)


def visitor(user_id: str) -> Persona:
    """A random friendly name, derived from the id."""
    dice = random.Random(user_id)  # noqa: S311  # not a secret
    return Persona(user_id, f"{dice.choice(_ADJECTIVES)} {dice.choice(_ANIMALS)}")


class Session(msgspec.Struct, frozen=True):
    """A visitor's identity, and the actions that the server gives points for."""

    token: str
    user_id: str
    username: str
    actions: dict[str, int]


def minter(config: Config) -> Mint:
    """Returns a function that signs with the service's secret. Raises StartupError if it cannot be read."""
    try:
        key = key_loading.load_signing_key(config.token_keys)
    except (key_parsing.UnusableKey, OSError) as error:
        raise StartupError(f"the demo cannot sign tokens: {error}") from None

    def mint(persona: Persona, ttl: float) -> str:
        return minting.mint(
            key,
            sub=persona.user_id,
            name=persona.name,
            ttl=ttl,
            audience=next(iter(config.jwt_audience), None),
            issuer=config.jwt_issuer,
            names=config.claim_names,
        )

    return mint


class Sessions:
    """`GET /demo/session`: a new identity for each visitor of the page."""

    def __init__(self, mint: Mint, actions: Mapping[str, int], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mint = mint
        self._actions = dict(actions)
        self._clock = clock
        self._given: deque[float] = deque(maxlen=SESSIONS_PER_MINUTE)

    def route(self) -> Route:
        """The route of the endpoint."""
        return Route("/demo/session", {"GET": self.get})

    def get(self, request: Request) -> Response:
        """A session. Raises RateLimited."""
        now = self._clock()
        if len(self._given) == SESSIONS_PER_MINUTE and now - self._given[0] < 60:
            raise RateLimited("Too many visitors. Try again in a moment.", retry_after=60 - now + self._given[0])
        self._given.append(now)
        persona = visitor(f"guest-{secrets.token_hex(6)}")
        session = Session(self._mint(persona, SESSION_TTL), persona.user_id, persona.name, self._actions)
        return Response(200, msgspec.json.encode(session), (JSON_TYPE, ("Cache-Control", "no-store")))
