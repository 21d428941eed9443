"""The target of the attacks: two processes on one board, every kind of key, and a recorder of their output.

The settings favour the attacker: keys of all algorithms at once, automatic registration, every log line.
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

from tests.attacks.recorder import OutputRecorder
from tests.support import forgery
from tests.support.forgery import forge
from tests.support.frontends import WriteForm
from tests.support.jwks import jwks
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


class RecordedService(RunningService):
    """A service whose responses are recorded."""

    recorder: OutputRecorder

    def call(self, *args: Any, **options: Any) -> Answer:
        answer = super().call(*args, **options)
        self.recorder.record(str(answer.headers).encode() + answer.body)
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


class RecordedConnection(RawConnection):
    """Raw bytes to and from a service; the responses are recorded."""

    def __init__(self, service: RecordedService, **options: Any) -> None:
        super().__init__(service.url, **options)
        self._recorder = service.recorder

    def read(self, **options: Any) -> Any:
        answer = super().read(**options)
        if answer is not None:
            self._recorder.record(repr(answer.headers).encode() + answer.body)
        return answer


class AttackEnvironment:
    """Two processes on one board, `service` and `second_service`, with their credentials and their database."""

    def __init__(self, uri: str, database: str, folder: Path, recorder: OutputRecorder) -> None:
        self.keys = Keys()
        self.recorder = recorder
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
        self._services: list[RecordedService] = []
        self._register_secrets()
        self.service, self.second_service = (self.run(*LENIENT) for _ in range(2))

    def _register_secrets(self) -> None:
        private = self.keys.rs_private.decode()
        self.recorder.secrets |= {
            "the shared secret of tokens": self.keys.hs_secret,
            "the secret of action proofs": self.keys.proof_secret,
            "the database's password": self._password,
            "the captcha's secret": self._captcha,
            "a line of a private key": private.splitlines()[5],
        }

    @property
    def environment(self) -> dict[str, str | None]:
        """The secrets, as environment variables of a service."""
        return {
            "LEADERBOARD_JWT_KEY": None,
            "LEADERBOARD_JWT_JWKS_FILE": str(self._jwks),
            "LEADERBOARD_PROOF_KEY": self.keys.proof_secret,
            "LEADERBOARD_MONGODB_URI": self.uri,
            "LEADERBOARD_MONGODB_DATABASE": self.database,
            "LEADERBOARD_CAPTCHA_SECRET": self._captcha,
            "LEADERBOARD_CAPTCHA_URL": "https://captcha.example/siteverify",
        }

    def run(self, *flags: str, env: dict[str, str | None] | None = None) -> RecordedService:
        """Start another process on the same board."""
        service = RecordedService(*SETTINGS, *flags, env={**self.environment, **(env or {})})
        service.recorder = self.recorder
        self._services.append(service)
        service.start(self._folder / f"log-{len(self._services)}")
        return service

    def close(self) -> None:
        """Record metrics and logs, and end all services."""
        for service in self._services:
            with contextlib.suppress(OSError):
                self.recorder.scrape(service.metrics_url)
            service.close()
            if service.log_path is not None:
                self.recorder.record(service.log_path.read_bytes())
        self._client.admin.command("dropUser", self._user)
        self._client.close()

    # -- credentials --------------------------------------------------------------------------------

    def claims(self, player: str, /, **changes: Any) -> dict[str, Any]:
        """Claims of a valid token, with changes; `...` removes a claim."""
        now = int(time.time())
        found = {"sub": player, "iat": now, "exp": now + 600, "aud": AUDIENCE, "iss": ISSUER, **changes}
        return {name: value for name, value in found.items() if value is not ...}

    def token(self, player: str, key: SigningKey | None = None, /, **changes: Any) -> str:
        """A valid token, whose signature must never be in a log or a response."""
        key = key or self.keys.rs
        text = forge(key, self.claims(player, **changes), {"alg": key.algorithm.value, "typ": "JWT", "kid": key.kid})
        self.recorder.credentials.add(text.rpartition(".")[2])
        return text

    def proof_claims(self, player: str, /, **changes: Any) -> dict[str, Any]:
        """Claims of a valid proof of 7 points, with changes; `...` removes a claim."""
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
        """A valid proof, whose signature must never be in a log or a response."""
        header = {"alg": "HS256", "typ": proofs.TYPE}
        text = forge(self.keys.proof, self.proof_claims(player, **changes), header)
        self.recorder.credentials.add(text.rpartition(".")[2])
        return text

    # -- the board ----------------------------------------------------------------------------------

    def players(self) -> dict[str, dict[str, Any]]:
        """Every player's document."""
        return {document["_id"]: document for document in self._client[self.database].players.find()}

    def score(self, user: str) -> int | None:
        """A player's score; None if there is no such player."""
        document = self._client[self.database].players.find_one({"_id": user}, {"score": 1})
        return None if document is None else document["score"]

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Assert that the block changes and creates no player."""
        before = self.players()
        yield
        assert self.players() == before


def new_user() -> str:
    return f"u-{uuid4().hex[:12]}"


def body_and_proof(
    attack_env: AttackEnvironment, form: WriteForm, user: str, **proof: Any
) -> tuple[dict[str, Any], str]:
    """A frontend's body for `user`, and the proof that goes with it."""
    body = form.body(user)
    names = {"act": "level_complete", "jti": body.get("actionId") or body.get("action_id")} if form.carries_id else {}
    return body, attack_env.proof(user, **{"pts": form.points, **names, **proof})


def write(
    attack_env: AttackEnvironment, user: str, proof: str | None, *, by: str = "header", **changes: object
) -> Answer:
    """A score update for `user` with this proof, in the header or in the body."""
    body: dict[str, Any] = {"score": 7, **changes} | ({"proof": proof} if by == "body" else {})
    headers = {"Action-Proof": proof} if by == "header" and proof is not None else {}
    return attack_env.service.post("/api/score", body, token=attack_env.token(user), headers=headers)
