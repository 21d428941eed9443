"""Who may moderate, and what the store receives."""

import pytest

from tornado_app.core.errors import InsufficientScope, InvalidBody
from tornado_app.core.model import Caller
from tornado_app.core.moderation import Moderation, ModerationRequest

MODERATOR = Caller("mod", 0, scopes=frozenset({"leaderboard:admin"}))
OTHERS = [Caller("ann", 0), Caller("server", 0, scopes=frozenset({"scores:write"}))]
VERBS = ["suspend", "reinstate", "hide", "show", "erase"]


class RecordingModeration:
    """Records the calls that it receives."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, verb):
        async def record(*args, **options):
            self.calls.append((verb, *args, options))

        return record


@pytest.mark.parametrize("caller", OTHERS)
@pytest.mark.parametrize("verb", VERBS)
async def test_moderation_by_other_callers_is_refused(caller, verb):
    store = RecordingModeration()
    with pytest.raises(InsufficientScope):
        await getattr(Moderation(store), verb)(caller, "ann", "why")
    with pytest.raises(InsufficientScope):
        await Moderation(store).take_back(caller, "ann", "why", action_id="x")
    assert store.calls == []


@pytest.mark.parametrize("verb", VERBS)
async def test_moderation_records_the_moderator_and_the_reason(verb):
    store = RecordingModeration()
    await getattr(Moderation(store), verb)(MODERATOR, "ann", "why")
    assert store.calls == [(verb, ModerationRequest("ann", "mod", "why"), {})]


@pytest.mark.parametrize("named", [{}, {"action_id": "x", "since": 1}])
async def test_reversal_without_exactly_one_selection_is_refused(named):
    with pytest.raises(InvalidBody):
        await Moderation(RecordingModeration()).take_back(MODERATOR, "ann", "why", **named)


async def test_export_is_allowed_for_moderators_and_the_player():
    store = RecordingModeration()
    await Moderation(store).export(MODERATOR, "ann")
    await Moderation(store).export(Caller("ann", 0), "".join("ann"))  # an equal text, not the same object
    assert len(store.calls) == 2
    with pytest.raises(InsufficientScope):
        await Moderation(store).export(Caller("bob", 0), "ann")


@pytest.mark.parametrize("named", [{"action_id": "x"}, {"since": 0}])
async def test_reversal_passes_its_selection_to_the_store(named):
    store = RecordingModeration()
    await Moderation(store).take_back(MODERATOR, "ann", "why", **named)
    expected = {"action_id": None, "since": None} | named
    assert store.calls == [("take_back", ModerationRequest("ann", "mod", "why"), expected)]
