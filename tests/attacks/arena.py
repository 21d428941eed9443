"""What the attacks are made against: two processes on one board, with every kind of key, and a record of what they say.

The service is set up in the attacker's favour: keys of all algorithms at once, players made wherever one scores, every
log line there is.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from pymongo import MongoClient

from tests.attacks.witness import Witness
from tests.auth import forgery
from tests.auth.forgery import forge
from tests.auth.provider import jwks
from tests.support.frontends import WriteForm
from tests.support.raw_http import RawConnection
from tests.support.service import Answer, RunningService
from tornado_app.auth import proofs
from tornado_app.auth.keys import SigningKey, signing_secret

AUDIENCE, ISSUER = "leaderboard", "https://id.example"
LIMIT = 10
"""Updates of a player in a minute, the default."""

SETTINGS = ("--action-proof", "required", "--jwt-audience", AUDIENCE, "--jwt-issuer", ISSUER)
LENIENT = ("--auto-register", "--log-level", "debug", "--log-format", "json")


class Keys:
    """The keys of the identity provider and of the game server. Both secrets are made for the run."""

    def __init__(self) -> None:
        self.hs_secret, self.proof_secret = secrets.token_urlsafe(40), secrets.token_urlsafe(40)
        self.hs = signing_secret(self.hs_secret, "hs")
        self.rs, self.es = forgery.signing("RS256", "rs", 41), forgery.signing("ES256", "es", 41)
        self.rs_private = forgery.rsa_private_pem(number=41)
        self.proof = signing_secret(self.proof_secret)

    def jwks(self) -> bytes:
        """All token keys as a JWK Set, the shared secret among them."""
        return jwks(self.rs, self.es, self.hs)


class Attacked(RunningService):
    """A service whose every word is kept."""

    witness: Witness

    def call(self, *args: Any, **options: Any) -> Answer:
        answer = super().call(*args, **options)
        self.witness.hear(str(answer.headers).encode() + answer.body)
        return answer

    @property
    def cpu(self) -> float:
        """Milliseconds of processor time that the process has used. Source: proc(5)."""
        return int(self._proc("schedstat").split()[0]) / 1e6

    @property
    def memory(self) -> int:
        """KiB that the process holds now. Source: proc(5)."""
        return next(int(line.split()[1]) for line in self._proc("status").splitlines() if line.startswith("VmRSS"))

    def _proc(self, name: str) -> str:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="ascii")


class HeardConnection(RawConnection):
    """Raw bytes to and from a service; what comes back is kept."""

    def __init__(self, service: Attacked, **options: Any) -> None:
        super().__init__(service.url, **options)
        self._witness = service.witness

    def read(self, **options: Any) -> Any:
        answer = super().read(**options)
        if answer is not None:
            self._witness.hear(repr(answer.headers).encode() + answer.body)
        return answer


class Arena:
    """The two processes `here` and `there`, credentials for them, and the board as the database holds it."""

    def __init__(self, uri: str, database: str, folder: Path, witness: Witness) -> None:
        self.keys = Keys()
        self.witness = witness
        self.database = database
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self._user, self._password = f"u_{database}", f"p@ss/{secrets.token_urlsafe(24)}"
        self._client.admin.command("createUser", self._user, pwd=self._password, roles=["root"])
        place = urlsplit(uri)
        login = f"{self._user}:{quote(self._password, safe='')}"
        self.uri = place._replace(netloc=f"{login}@{place.netloc}", query=f"{place.query}&authSource=admin").geturl()
        self._folder = folder
        self._jwks = folder / "jwks.json"
        self._jwks.write_bytes(self.keys.jwks())
        self._captcha = secrets.token_urlsafe(24)
        self._services: list[Attacked] = []
        self._note_secrets()
        self.here, self.there = (self.run(*LENIENT) for _ in range(2))

    def _note_secrets(self) -> None:
        private = self.keys.rs_private.decode()
        self.witness.secrets |= {
            "the shared secret of tokens": self.keys.hs_secret,
            "the secret of action proofs": self.keys.proof_secret,
            "the database's password": self._password,
            "the captcha's secret": self._captcha,
            "a line of a private key": private.splitlines()[5],
        }

    @property
    def environment(self) -> dict[str, str | None]:
        """The secrets, as a service gets them."""
        return {
            "LEADERBOARD_JWT_KEY": None,
            "LEADERBOARD_JWT_JWKS_FILE": str(self._jwks),
            "LEADERBOARD_PROOF_KEY": self.keys.proof_secret,
            "LEADERBOARD_MONGODB_URI": self.uri,
            "LEADERBOARD_MONGODB_DATABASE": self.database,
            "LEADERBOARD_CAPTCHA_SECRET": self._captcha,
            "LEADERBOARD_CAPTCHA_URL": "https://captcha.example/siteverify",
        }

    def run(self, *flags: str, env: dict[str, str | None] | None = None) -> Attacked:
        """One more process on the same board."""
        service = Attacked(*SETTINGS, *flags, env={**self.environment, **(env or {})})
        service.witness = self.witness
        self._services.append(service)
        service.start(self._folder / f"log-{len(self._services)}")
        return service

    def close(self) -> None:
        """End all, once their metrics and logs are kept."""
        for service in self._services:
            with contextlib.suppress(OSError):
                self.witness.scrape(service.metrics_url)
            service.close()
            if service.log_path is not None:
                self.witness.hear(service.log_path.read_bytes())
        self._client.admin.command("dropUser", self._user)
        self._client.close()

    # -- credentials --------------------------------------------------------------------------------

    def claims(self, player: str, /, **changes: Any) -> dict[str, Any]:
        """What a good token says, with changes; `...` takes a claim out."""
        now = int(time.time())
        found = {"sub": player, "iat": now, "exp": now + 600, "aud": AUDIENCE, "iss": ISSUER, **changes}
        return {name: value for name, value in found.items() if value is not ...}

    def token(self, player: str, key: SigningKey | None = None, /, **changes: Any) -> str:
        """A good token, which must never be seen in a log or an answer."""
        key = key or self.keys.rs
        text = forge(key, self.claims(player, **changes), {"alg": key.algorithm.value, "typ": "JWT", "kid": key.kid})
        self.witness.credentials.add(text.rpartition(".")[2])
        return text

    def proof_claims(self, player: str, /, **changes: Any) -> dict[str, Any]:
        """What a good proof of 7 points says, with changes; `...` takes a claim out."""
        now = int(time.time())
        found = {
            "sub": player,
            "act": "win",
            "pts": 7,
            "jti": f"j-{uuid4().hex}",
            "iat": now,
            "exp": now + 60,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not ...}

    def proof(self, player: str, /, **changes: Any) -> str:
        """A good proof, which must never be seen either."""
        header = {"alg": "HS256", "typ": proofs.TYPE}
        text = forge(self.keys.proof, self.proof_claims(player, **changes), header)
        self.witness.credentials.add(text.rpartition(".")[2])
        return text

    # -- the board ----------------------------------------------------------------------------------

    def players(self) -> dict[str, dict[str, Any]]:
        """Every player's document."""
        return {document["_id"]: document for document in self._client[self.database].players.find()}

    def score(self, user: str) -> int | None:
        """A player's score, None for nobody."""
        document = self._client[self.database].players.find_one({"_id": user}, {"score": 1})
        return None if document is None else document["score"]

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Whatever happens inside changes no player, and makes none."""
        before = self.players()
        yield
        assert self.players() == before


def new_user() -> str:
    return f"u-{uuid4().hex[:12]}"


def vouched(arena: Arena, form: WriteForm, user: str, **proof: Any) -> tuple[dict[str, Any], str]:
    """A frontend's body for `user`, and the proof that goes with it."""
    body = form.body(user)
    names = {"act": "level_complete", "jti": body.get("actionId") or body.get("action_id")} if form.carries_id else {}
    return body, arena.proof(user, **{"pts": form.points, **names, **proof})
