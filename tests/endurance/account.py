"""The clients' record of requests and responses, and its check against the database."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]

PERIOD = "second"
"""The period of the topology `periods`."""


@dataclass(eq=False)
class Sent:
    """An action that a client sent, once or again. `scores`: the new score of each answer of success; `epochs`: the
    epochs that answers named.

    `unclear`: an attempt was answered with 5xx or not at all, so that it may count or not.
    """

    id: str
    player: str
    points: int
    scores: list[int] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)
    unclear: bool = False

    @property
    def fits(self) -> tuple[int, ...]:
        """How often the action may count."""
        if self.scores:
            return (1,)
        return (0, 1) if self.unclear else (0,)


@dataclass
class Account:
    """Requests that the clients sent. `odd`: responses that no client should see; `took`: seconds to each response."""

    sent: list[Sent] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)

    def open(self, id: str, player: str, points: int) -> Sent:  # noqa: A002  # it is the action's own word
        """An action that is about to be sent."""
        action = Sent(id, player, points)
        self.sent.append(action)
        return action

    def take_odd(self) -> list[str]:
        """The odd responses since the last call."""
        odd, self.odd = self.odd, []
        return odd

    def take_times(self) -> list[float]:
        """Response times since the last call, shortest first."""
        took, self.took = self.took, []
        return sorted(took)


@dataclass(frozen=True)
class Verdict:
    """Differences between the clients' record and the database: ids and descriptions."""

    lost: list[str]
    doubled: list[str]
    wrong: list[str]

    @property
    def problems(self) -> list[str]:
        """All of it in sentences; empty where they agree."""
        found = [f"lost: {text}" for text in self.lost] + [f"doubled: {text}" for text in self.doubled]
        return found + self.wrong


def judge(account: Account, entries: Iterable[Document], players: Sequence[Document]) -> Verdict:
    """Check the account against the entries of the service's ledger and the players' documents."""
    booked: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for entry in entries:
        if entry["kind"] == "action":
            booked[entry["player"], entry.get("id", "")].append(entry)
    remembered = {(player["_id"], json.loads(entry)[6]) for player in players for entry in player["h"].values()}
    lost, doubled, wrong = [], [], []
    expected: Counter[str] = Counter()
    for action in account.sent:
        found = booked.pop((action.player, action.id), [])
        times = len(found) or int((action.player, action.id) in remembered)
        expected[action.player] += action.points if times else 0
        if times not in action.fits:
            (doubled if times > 1 else wrong if times else lost).append(
                f"{action.id} of {action.player} is counted {times} times, not {action.fits}"
            )
        wrong += _answers(action, found)
    wrong += [f"nobody sent {action_id} of {player}" for player, action_id in booked]
    wrong += [
        f"{player['_id']} has {player['score']} points, {expected[player['_id']]} were counted"
        for player in players
        if player["score"] != expected[player["_id"]]
    ]
    return Verdict(lost, doubled, wrong)


def _answers(action: Sent, found: list[Document]) -> list[str]:
    """Each answer must be the score that the ledger has after this action."""
    wrong = [f"{action.id} has {entry['points']} points" for entry in found if entry["points"] != action.points]
    borne_out = {entry["score"] for entry in found}
    return wrong + [
        f"{action.id} of {action.player} was answered with {score}, the ledger says {sorted(borne_out)}"
        for score in action.scores
        if found and score not in borne_out
    ]


def judge_results(
    account: Account,
    entries: Sequence[Document],
    players: Iterable[Document],
    results: Mapping[int, Mapping[str, int]],
) -> list[str]:
    """Check the results of all epochs, the scores of players by epoch, against the account and the ledger,
    which agree."""
    epochs = {(entry["player"], entry.get("id")): entry.get("epochs", {}).get(PERIOD) for entry in entries}
    wrong = [
        f"{action.id} of {action.player} was answered with epoch {sorted(action.epochs)}, and counts in {counted}"
        for action in account.sent
        if action.epochs and action.epochs != {counted := epochs.get((action.player, action.id))}
    ]
    expected: dict[int | None, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        expected[epochs[entry["player"], entry.get("id")]][entry["player"]] += entry["points"]
    for epoch in sorted(expected.keys() | results.keys(), key=str):
        found, counted_points = results.get(epoch or 0, {}), expected.get(epoch, {})
        if found != counted_points:
            odd = {player for player, _ in found.items() ^ counted_points.items()}
            wrong.append(f"the result of epoch {epoch} differs from the account in {sorted(odd)[:5]}")
    for player in players:
        total = sum(rows.get(player["_id"], 0) for rows in results.values())
        if total != player["score"]:
            wrong.append(f"{player['_id']} has {player['score']} points, and {total} in all results")
    return wrong
