"""A service under load and faults, an operator with its Leaderboards, and a Prometheus that scrapes them.

The operator's pods are fake: the service of the one that is scraped runs beside the cluster.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from http.client import HTTPException
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import yaml
from pymongo import MongoClient
from websockets.exceptions import WebSocketException

from tests.support.cluster import Cluster
from tests.support.forgery import signing
from tests.support.jwks import Provider, jwks
from tests.support.kubernetes import make_namespace
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard
from tests.support.mongod import ReplicaSet
from tests.support.operator import Installation, Operator
from tests.support.prometheus import Prometheus
from tests.support.raw_http import HANDSHAKE, RawConnection
from tests.support.rules import WRITTEN
from tests.support.service import RunningService, token
from tests.support.wait import wait_until
from tests.support.websocket_client import PATHS, add, fill, opened, register

WRITES: tuple[tuple[str, Any], ...] = (
    ("/api/score", {"score": 5}),
    ("/api/update-score", {"increment": 2}),
    ("/api/scores/update", {"actionId": "{id}", "actionType": "level_complete"}),
    ("/api/actions", {"user_id": "{user}", "action_id": "level_complete:{id}"}),
    ("/api/v1/score", {"user_id": "{user}", "score_increase": 3}),
    ("/api/score", {"score": -1}),
)
READS = ("/api/top-scores", "/api/leaderboard", "/api/v1/leaderboard", "/api/v1/players/{user}", "/no-such-page")
PLAYERS = [f"player-{number}" for number in range(12)]


class MonitoredEnvironment:
    """A context manager; `play` goes on in the background from the start to the end."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._folder = folder
        self._exit = ExitStack()
        self._over = threading.Event()
        self.cluster = cluster
        self.namespace = f"games-{uuid4().hex[:8]}"
        self.database = "arcade"

    def __enter__(self) -> MonitoredEnvironment:
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self) -> None:
        enter, callback = self._exit.enter_context, self._exit.callback
        self.replica_set = enter(ReplicaSet())
        self.provider = Provider(jwks(signing("RS256", "first")))
        callback(self.provider.down)
        fast = ("--broadcast-interval", "10ms", "--max-messages-per-second", "1000", "--mongodb-timeout", "1s")
        boards = self._folder / "boards.yaml"
        boards.write_text("boards:\n  main:\n    periods: {day: {cron: '0 0 * * *'}}\n")
        limits = ("--rate-limit", "600/60s", "--auto-register", "--boards-file", str(boards))
        self.arcade = self._service("arcade", *fast, *limits)
        self.chess = self._service("chess", "--jwt-jwks-url", self.provider.url, env={"LEADERBOARD_JWT_KEY": None})
        self.operator = self._operator()
        self.prometheus = enter(Prometheus(self._folder / "prometheus", self._scrapes(), [self._rules()]))
        wait_until(lambda: self.prometheus.query("sum(up) == 3"), TIMEOUT, "all three are scraped")
        player = threading.Thread(target=self._play, daemon=True)
        player.start()
        callback(player.join, 30)
        callback(self._over.set)

    def _service(self, name: str, *flags: str, env: dict[str, str | None] | None = None) -> RunningService:
        service = RunningService(*flags, uri=self.replica_set.uri, database=name, env=env)
        service.start(self._folder / f"{name}.log")
        self._exit.callback(service.close)
        return service

    def _operator(self) -> Operator:
        """With two Leaderboards that are scraped, one with an autoscaler that is not, and one that lacks a Secret."""
        make_namespace(self.cluster, self.namespace)
        self._exit.callback(self.cluster.kubectl, "delete", "namespace", self.namespace, "--wait=false")
        leaderboards = self._leaderboards = Leaderboards(self.cluster, self.namespace)
        self._exit.callback(leaderboards.reader.close)
        leaderboards.create_secrets()
        mongo = {"name": "arcade-mongo", "key": "uri"}
        changes = {
            "arcade": {},
            "chess": {},
            "ghost": {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}},
            "broken": {"auth": {"jwt": {"secretRef": {"name": "no-such-secret", "key": "key"}}}},
        }
        for name, each in changes.items():
            leaderboards.apply(leaderboard(name, database={"connectionSecretRef": mongo, "name": name}, **each))
        installed = self._exit.enter_context(Installation(self.cluster, self.namespace, (self.namespace,)))
        operator = Operator(installed, self._folder / "operator.log")
        self._exit.callback(operator.close)
        operator.start()
        for name in ("arcade", "chess", "ghost"):
            leaderboards.wait(name=name)
        leaderboards.wait("False", "SecretMissing", name="broken")
        return operator

    def _scrapes(self) -> list[dict[str, Any]]:
        """With the labels that ServiceMonitors give."""
        places = {name: urlsplit(getattr(self, name).metrics_url).netloc for name in ("arcade", "chess")}
        targets = [
            {"targets": [place], "labels": {"namespace": self.namespace, "leaderboard": name, "pod": f"{name}-0"}}
            for name, place in places.items()
        ]
        own = {"targets": [urlsplit(self.operator.url).netloc], "labels": {"namespace": "system", "pod": "operator-0"}}
        return [
            {"job_name": "leaderboards", "static_configs": targets},
            {"job_name": "operator", "honor_labels": True, "static_configs": [own]},
        ]

    def _rules(self) -> Path:
        """The rules, all evaluated each second."""
        groups = [{"name": group["name"], "rules": group["rules"]} for group in WRITTEN]
        path = self._folder / "rules.yaml"
        path.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
        return path

    # -- what happens -------------------------------------------------------------------------------

    def _play(self) -> None:
        """Players score through every frontend, read, and open and close sockets, some with a forged token.

        Refused players try again.
        """
        turns, writes, reads, paths = count(), cycle(WRITES), cycle(READS), cycle(PATHS)
        while not self._over.wait(0.02):
            turn = next(turns)
            user = PLAYERS[turn % len(PLAYERS)]
            path, body = next(writes)
            filled = json.loads(json.dumps(body).replace("{user}", user).replace("{id}", f"a-{turn}"))
            with suppress(OSError, HTTPException, WebSocketException):
                self._ask("POST", path, filled, user)
                self._ask("GET", next(reads).replace("{user}", user), None, None)
                if turn % 10 == 0:
                    self._watch(next(paths))
                if turn % 10 == 5:
                    self._watch(f"{next(paths)}?token=forged")

    def _ask(self, method: str, path: str, body: Any, user: str | None) -> None:
        self.arcade.call(method, path, body, token=user and token(user))

    def _watch(self, path: str) -> None:
        with opened(self.arcade, path) as socket:
            socket.read()

    def suspect(self) -> None:
        """Five players send five forged proofs each."""
        for user in PLAYERS[:5]:
            for _ in range(5):
                answer = self.arcade.post(
                    "/api/score", {"score": 1}, token=token(user), headers={"Action-Proof": "a.b.c"}
                )
                assert answer.json["error"] == "invalid_action_proof"

    def stall(self) -> None:
        """A socket that never reads is closed."""
        users = fill(self.arcade, 10)
        for user in users:
            register(self.arcade, user, username="💯" * 64)
        movers = cycle(users)
        with RawConnection(self.arcade.url, receive_buffer=2048) as stalled:
            stalled.send(*HANDSHAKE)

            def evicted() -> bool:
                for _ in range(20):
                    add(self.arcade, next(movers), 1)
                return self.arcade.metric("leaderboard_websocket_evictions_total", reason="stalled") == 1

            wait_until(evicted, TIMEOUT, "an eviction")

    def lose_database(self) -> None:
        """MongoDB is killed and restarted: requests fail, and change streams are reopened."""
        (member,) = self.replica_set.members
        member.kill()
        failed = {"code": "500", "route": "/api/score"}
        wait_until(
            lambda: self.arcade.metric("leaderboard_http_requests_total", **failed) > 2, TIMEOUT, "a request fails"
        )
        member.start()
        self.replica_set.wait_healthy()
        for service in (self.arcade, self.chess):
            wait_until(lambda one=service: one.readiness()[0] == 200, TIMEOUT, "it serves again")

    def tamper(self) -> None:
        """Change a score in the database."""
        with MongoClient(self.replica_set.uri) as client:
            changed = client[self.database]["players"].update_one({"_id": PLAYERS[0]}, {"$inc": {"score": 1000}})
            assert changed.modified_count == 1
        external = {"kind": "external"}
        wait_until(
            lambda: self.arcade.metric("leaderboard_ledger_entries_total", **external) > 0, TIMEOUT, "it is recorded"
        )

    def _counted(self, metric: str, least: float, **labels: str) -> None:
        wait_until(lambda: self.arcade.metric(metric, **labels) >= least, TIMEOUT, f"{metric} {labels}")

    def touch(self) -> None:
        """Give the operator something to do."""
        self._leaderboards.patch({"metadata": {"annotations": {"touched": "yes"}}})

    # -- what Prometheus sees -----------------------------------------------------------------------

    def has_data(self, expression: str) -> bool:
        """Whether an expression gives anything that is a number."""
        return any(each["value"][1] != "NaN" for each in self.prometheus.query(expression))

    def without_data(self, expressions: Iterable[str], within: float = TIMEOUT) -> set[str]:
        """Those of some expressions that give nothing, when scrapes and evaluations had time to."""
        missing = set(expressions)

        def looked() -> bool:
            missing.difference_update([each for each in missing if self.has_data(each)])
            return not missing

        try:
            wait_until(looked, within, "data")
        except AssertionError:
            return missing
        return missing
