"""The write rule against the model, without a database: any order of actions, clocks that step, rules that change."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.answers import board_of
from tests.properties.model import MAX_SCORE, Answer, Model, Rules, Wanted
from tornado_app.core.boards import Board, Bounds, Order, Rule
from tornado_app.core.decide import Accepted, Decision, PlayerState, Refused, Replay, decide
from tornado_app.core.history import History, HistoryEntry, WriteKind, decode, encode
from tornado_app.core.model import Action, Profile, RateLimitState, Receipt
from tornado_app.core.policies import MAX_HISTORY_ENTRIES, RateLimit, WritePolicy

START = 1_800_000_000_000
WINDOW = 60_000

WANTED = st.builds(
    Wanted,
    st.just("a"),
    st.integers(1, 12) | st.sampled_from([50, 100, 101, MAX_SCORE - 20, MAX_SCORE]),
    st.none() | st.sampled_from("xyz"),
    st.sampled_from([b"f", b"f", b"g"]),
    st.booleans(),
)
TICKS = st.sampled_from([0, 1, WINDOW // 2, WINDOW - 1, WINDOW, -1, -WINDOW // 2, -WINDOW])
RULES = st.builds(
    lambda updates, times, cap, rule, ascending, bounds: Rules(
        updates, WINDOW, WINDOW * times, cap, rule, ascending, *bounds
    ),
    st.integers(1, 4),
    st.integers(2, 3),
    st.sampled_from([None, 100]),
    st.sampled_from(["sum", "best", "last"]),
    st.booleans(),
    st.sampled_from([(None, None), (-4, 50)]),
)
PLAIN = Rules(1, WINDOW, 2 * WINDOW, None)
"""Of which only the rule and the order count: those of the board main."""


def policy_of(rules: Rules) -> WritePolicy:
    return WritePolicy(RateLimit(rules.updates, rules.window / 1000), rules.retention // 1000, rules.cap)


def action_of(wanted: Wanted, rules: Rules = PLAIN) -> Action:
    value = rules.submitted(wanted.points)
    return Action(wanted.user, value, wanted.id, wanted.request, Profile(), wanted.create)


def receipt_of(decision: Accepted | Replay) -> Receipt:
    assert decision.receipt is not None
    return decision.receipt


def answer_of(decision: Decision) -> Answer:
    if isinstance(decision, Refused):
        return Answer(type(decision.error).__name__)
    receipt = receipt_of(decision)
    return Answer(
        "", receipt.score, receipt.points, receipt.updated_at, receipt.created, receipt.replayed, receipt.improved
    )


def rate_limit_state_of(decision: Decision) -> RateLimitState:
    state = decision.error.rate_limit_state if isinstance(decision, Refused) else receipt_of(decision).rate_limit_state
    assert state is not None
    return state


class OnePlayer:
    """One player, as the store keeps it: each entry goes through its stored text. The rule of the board is fixed."""

    def __init__(self, rules: Rules = PLAIN) -> None:
        self.rules, self.board = rules, board_of(rules)
        self.state: PlayerState | None = None
        self.compact: PlayerState | None = None
        self.writes = 0

    def submit(self, wanted: Wanted, now: int, policy: WritePolicy) -> Decision:
        self.writes += 1
        action, write_id = action_of(wanted, self.rules), f"w.{self.writes}"
        decision = decide(self.state, action, write_id, now, policy, self.board)
        self._same_from_the_cache(decision, action, write_id, now, policy)
        if isinstance(decision, Accepted):
            assert decode(encode(decision.entry)) == decision.entry
            self.state = decision.state
            self.compact = msgspec.structs.replace(self.state, history=self.state.history.compact())
        return decision

    def _same_from_the_cache(
        self, decision: Decision, action: Action, write_id: str, now: int, policy: WritePolicy
    ) -> None:
        """The compact state decides the same, or leaves the answer to a read; it accepts nothing else."""
        if self.compact is None:
            return
        cached = decide(self.compact, action, write_id, now, policy, self.board)
        assert type(cached) is type(decision) or not isinstance(cached, Accepted)
        if isinstance(cached, Accepted) and isinstance(decision, Accepted):
            assert (cached.receipt, cached.entry, cached.expired) == (
                decision.receipt, decision.entry, decision.expired,
            )  # fmt: skip


@given(RULES, st.lists(st.tuples(WANTED, TICKS), max_size=30))
@settings(max_examples=150)
def test_decide_answers_as_the_model(rules: Rules, script: list[tuple[Wanted, int]]) -> None:
    board, model, now, latest = OnePlayer(rules), Model(rules), START, START
    for wanted, tick in script:
        now = max(now + tick, latest - WINDOW)  # after a larger step back, an entry that is removed would count again
        latest = max(latest, now)
        decision = board.submit(wanted, now, policy_of(rules))
        assert answer_of(decision) == model.submit(wanted, now)
        state = rate_limit_state_of(decision)
        assert (state.remaining, round(state.reset * 1000)) == model.rate_limit_state(wanted.user, now)


@given(RULES, st.lists(st.tuples(WANTED, TICKS.map(abs), RULES), max_size=30))
@settings(max_examples=150)
def test_decide_counts_an_id_once_for_the_longest_of_changing_retentions(
    rule: Rules, script: list[tuple[Wanted, int, Rules]]
) -> None:
    board, now = OnePlayer(rule), START
    promised: dict[str, int] = {}
    for wanted, tick, rules in script:
        now += tick
        decision = board.submit(wanted, now, policy_of(rules))
        if isinstance(decision, Accepted) and wanted.id is not None:
            assert promised.get(wanted.id, 0) < now
            promised[wanted.id] = now + rules.retention


@pytest.mark.long
def test_decide_history_is_bounded_whatever_the_retention() -> None:
    state = PlayerState()
    policy = WritePolicy(RateLimit(10**6, 60), 2**31 - 1)
    for number in range(MAX_HISTORY_ENTRIES + 10):
        decision = decide(state, action_of(Wanted("a", 1, str(number))), f"w.{number}", START, policy)
        assert isinstance(decision, Accepted)
        state = decision.state
    assert len(state.history.seqs) == MAX_HISTORY_ENTRIES
    assert state.history.seqs[0] == MAX_HISTORY_ENTRIES + 10


def test_decide_answers_a_lost_write_as_its_own() -> None:
    first = decide(None, action_of(Wanted("a", 5)), "w.1", START, WritePolicy())
    assert isinstance(first, Accepted)
    again = decide(first.state, action_of(Wanted("a", 5)), "w.1", START + 1, WritePolicy())
    assert answer_of(again) == answer_of(first)
    assert not isinstance(again, Accepted)


def test_history_drops_entries_that_no_decision_needs_with_the_next_write() -> None:
    """Moderation entries, but not a take-back of an action that is remembered: its points do not count."""
    policy = WritePolicy(RateLimit(10, 60), 120, 10)
    state: PlayerState | None = None
    for number in range(2):
        decision = decide(state, action_of(Wanted("a", 5)), f"w.{number}", START, policy)
        assert isinstance(decision, Accepted)
        state = decision.state
    assert state is not None
    refused = decide(state, action_of(Wanted("a", 5)), "w.2", START, policy)
    assert isinstance(refused, Refused)
    taken = HistoryEntry(WriteKind.TAKE_BACK, -5, "t.1", START, takes_back=["w.1"])
    suspended = HistoryEntry(WriteKind.SUSPEND, 0, "s.1", START)
    history = History.of((4, 3, *state.history.seqs), (suspended, taken, *(state.history.entries or ())))
    decision = decide(PlayerState(seq=4, score=5, history=history), action_of(Wanted("a", 5)), "w.3", START, policy)
    assert isinstance(decision, Accepted)
    assert decision.expired == (4,)
    assert decision.state.history.seqs.tolist() == [5, 3, 2, 1]


def test_decide_replay_is_superseded_by_the_next_action() -> None:
    board = OnePlayer()
    for number in range(3):
        board.submit(Wanted("a", 1, str(number)), START + number, WritePolicy())
    replays = [board.submit(Wanted("a", 1, str(number)), START + 9, WritePolicy()) for number in range(3)]
    assert all(isinstance(replay, Replay) for replay in replays)
    assert [receipt_of(replay).superseded_at for replay in replays if isinstance(replay, Replay)] == [
        START + 1, START + 2, None,
    ]  # fmt: skip


def test_decide_points_cap_applies_to_the_first_action_of_a_player() -> None:
    policy = WritePolicy(max_points=100)
    assert isinstance(decide(None, action_of(Wanted("a", 100)), "w.1", START, policy), Accepted)
    refused = decide(None, action_of(Wanted("a", 101)), "w.1", START, policy)
    assert answer_of(refused).refused == "SuspiciousActivity"


def test_decide_refuses_a_suspended_player_first() -> None:
    state = PlayerState(seq=1, score=MAX_SCORE, suspended=True)
    refused = decide(state, action_of(Wanted("a", 5)), "w.1", START, WritePolicy(RateLimit(1, 60)))
    assert answer_of(refused).refused == "PlayerSuspended"


def test_decide_keeps_the_flags_of_a_hidden_player() -> None:
    decision = decide(PlayerState(seq=3, score=7, hidden=True), action_of(Wanted("a", 5)), "w.4", START, WritePolicy())
    assert isinstance(decision, Accepted)
    state = decision.state
    assert (state.seq, state.score, state.suspended, state.hidden, state.erased) == (4, 12, False, True, False)
    assert not decision.entry.on_board


def test_decide_refusal_by_the_rate_limit_has_the_time_of_the_next_free_update() -> None:
    policy = WritePolicy(RateLimit(1, 90))
    first = decide(None, action_of(Wanted("a", 5)), "w.1", START, policy)
    assert isinstance(first, Accepted)
    second = decide(first.state, action_of(Wanted("a", 5)), "w.2", START + 60_500, policy)
    assert isinstance(second, Refused)
    assert second.error.retry_after == 29.5
    assert "at most 1 in 90 seconds" in second.error.text
    assert "rate_limit 1/90s is used up, the next in 29.5 s" in second.error.detail


def test_decide_accepts_points_up_to_the_highest_score() -> None:
    state = PlayerState(seq=1, score=2**63 - 3)
    accepted = decide(state, action_of(Wanted("a", 2)), "w.2", START, WritePolicy())
    assert answer_of(accepted).score == 2**63 - 1
    refused = decide(state, action_of(Wanted("a", 3)), "w.2", START, WritePolicy())
    assert answer_of(refused).refused == "InvalidIncrement"


def accepted(value: int, state: PlayerState | None, board: Board, now: int = START) -> Accepted:
    number = 1 if state is None else state.seq + 1
    action = Action("a", value, f"id-{number}", b"f", Profile(), create_player=True)
    decision = decide(state, action, f"w.{number}", now, WritePolicy(), board)
    assert isinstance(decision, Accepted)
    return decision


KART = Board("kart", Rule.BEST, Order.ASCENDING, Bounds(15_000, 3_600_000))


def test_decide_best_keeps_score_and_time_of_the_better_one() -> None:
    first = accepted(90_000, None, KART)
    second = accepted(95_000, first.state, KART, START + 5)
    assert (second.receipt.score, second.receipt.points, second.receipt.submitted) == (90_000, 0, 95_000)
    assert (second.receipt.improved, second.receipt.updated_at) == (False, START)
    assert second.receipt.rate_limit_state.remaining == 8
    third = accepted(83_123, second.state, KART, START + 7)
    assert (third.receipt.score, third.receipt.points, third.receipt.improved) == (83_123, -6_877, True)
    assert (third.state.score, third.state.updated_at) == (83_123, START + 7)


def test_decide_first_score_counts_whatever_its_sign() -> None:
    """No score is not a score of 0."""
    for order in Order:
        for value in (-5, 0, 5):
            decision = accepted(value, PlayerState(seq=1), Board("b", Rule.BEST, order))
            assert (decision.receipt.score, decision.receipt.improved) == (value, True)
            assert decision.entry.before is None


def test_decide_replay_of_a_submission_has_its_own_answer() -> None:
    first = accepted(90_000, None, KART)
    second = accepted(95_000, first.state, KART, START + 5)
    third = accepted(80_000, second.state, KART, START + 9)
    action = Action("a", 95_000, "id-2", b"f", Profile(), create_player=True)
    replay = decide(third.state, action, "w.9", START + 10, WritePolicy(), KART)
    receipt = receipt_of(replay) if isinstance(replay, Replay) else None
    assert receipt is not None
    assert (receipt.score, receipt.submitted, receipt.improved, receipt.updated_at) == (90_000, 95_000, False, START)
    assert receipt.superseded_at == START + 9


@pytest.mark.parametrize("state", [None, PlayerState(seq=1, score=20_000)])
def test_decide_refuses_a_value_out_of_bounds(state: PlayerState | None) -> None:
    action = Action("a", 14_999, None, b"", Profile(), create_player=True)
    refused = decide(state, action, "w.1", START, WritePolicy(), KART)
    assert isinstance(refused, Refused)
    assert refused.error.code == "out_of_bounds"
    assert refused.error.text == "The board accepts a score of 15000 to 3600000, not 14999."


def test_decide_points_cap_does_not_apply_to_a_submitted_score() -> None:
    action = Action("a", 20_000, None, b"", Profile(), create_player=True)
    assert isinstance(decide(None, action, "w.1", START, WritePolicy(max_points=100), KART), Accepted)


def test_decide_refuses_a_score_whose_difference_is_no_int64() -> None:
    """Another program wrote such a score; one of the service cannot be that low."""
    state = PlayerState(seq=1, score=-(2**63))
    action = Action("a", 1, None, b"", Profile(), create_player=True)
    refused = decide(state, action, "w.2", START, WritePolicy(), Board("b", Rule.BEST))
    assert answer_of(refused).refused == "InvalidIncrement"
