"""Who may moderate."""

import pytest

from tornado_app.core.errors import InsufficientScope, InvalidBody
from tornado_app.core.model import Caller
from tornado_app.core.moderation import Moderation, ModerationRequest

MODERATOR = Caller("mod", 0, scopes=frozenset({"leaderboard:admin"}))
OTHERS = [Caller("ann", 0), Caller("server", 0, scopes=frozenset({"scores:write"}))]
VERBS = ["suspend", "reinstate", "hide", "show", "erase"]


class Books:
    """Notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, verb):
        async def note(*args, **options):
            self.asked.append((verb, *args, options))

        return note


@pytest.mark.parametrize("caller", OTHERS)
@pytest.mark.parametrize("verb", VERBS)
async def test_moderation_by_other_callers_is_refused(caller, verb):
    books = Books()
    with pytest.raises(InsufficientScope):
        await getattr(Moderation(books), verb)(caller, "ann", "why")
    with pytest.raises(InsufficientScope):
        await Moderation(books).take_back(caller, "ann", "why", action_id="x")
    assert books.asked == []


@pytest.mark.parametrize("verb", VERBS)
async def test_moderation_records_the_moderator_and_the_reason(verb):
    books = Books()
    await getattr(Moderation(books), verb)(MODERATOR, "ann", "why")
    assert books.asked == [(verb, ModerationRequest("ann", "mod", "why"), {})]


@pytest.mark.parametrize("named", [{}, {"action_id": "x", "since": 1}])
async def test_reversal_without_exactly_one_selection_is_refused(named):
    with pytest.raises(InvalidBody):
        await Moderation(Books()).take_back(MODERATOR, "ann", "why", **named)


async def test_export_is_allowed_for_moderators_and_the_player():
    books = Books()
    await Moderation(books).export(MODERATOR, "ann")
    await Moderation(books).export(Caller("ann", 0), "ann")
    assert len(books.asked) == 2
    with pytest.raises(InsufficientScope):
        await Moderation(books).export(Caller("bob", 0), "ann")
