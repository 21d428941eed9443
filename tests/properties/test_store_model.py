"""Random steps over two processes: the store and the ledger equal the model.

PROPERTY_EXAMPLES=5000 makes it a long run on new examples each time; by itself it is short and always the same.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.properties import steps
from tests.properties.checker import Service
from tests.properties.model import Rules, Wanted

LONG = int(os.environ.get("PROPERTY_EXAMPLES", "0"))


def examples(short: int):
    """Bounded and repeatable for CI, long and random when asked for; failures print how to have them again."""
    return settings(
        max_examples=LONG or short,
        derandomize=not LONG,
        database=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(scope="module")
def service(module_database):
    """The board's processes on an event loop of their own, which goes on over all examples."""
    with asyncio.Runner() as runner:
        service = Service(*module_database)
        runner.run(service.open())
        yield lambda rules, script: runner.run(service.play(rules, script))
        runner.run(service.close())


BY_ONE_AHEAD_AND_ONE_BEHIND = [
    steps.Skew(0, steps.WINDOW + 1),
    steps.Submit(Wanted("a", 1), 0),
    steps.Submit(Wanted("a", 1), 1),
    steps.Tick(steps.WINDOW),
    steps.Submit(Wanted("a", 1), 1),
]
"""The limit's oldest entry is of the future: the window does not hold as many as it allows, and yet it is used up."""


THE_WINDOW_TO_THE_MILLISECOND = [
    steps.Submit(Wanted("a", 1, "x"), 0),
    steps.Tick(steps.WINDOW - 1),
    steps.Submit(Wanted("a", 1), 1),
    steps.Tick(1),
    steps.Submit(Wanted("a", 1), 1),
    steps.Submit(Wanted("a", 1, "x"), 0),
    steps.Tick(steps.WINDOW),
    steps.Submit(Wanted("a", 1), 1),
    steps.Submit(Wanted("a", 1, "x"), 0),
]
"""When the next is free, and for how long an id is known: random spans seldom meet both ends."""


@pytest.mark.timeout(120 + 2 * LONG)
@example(rules=Rules(1, steps.WINDOW, 2 * steps.WINDOW, None), script=THE_WINDOW_TO_THE_MILLISECOND)
@example(rules=Rules(2, steps.WINDOW, 2 * steps.WINDOW, None), script=BY_ONE_AHEAD_AND_ONE_BEHIND)
@examples(150)
@given(rules=steps.rules, script=st.lists(steps.one_by_one, min_size=1, max_size=24))
def test_sequential_results_equal_those_of_the_model(service, rules, script):
    service(rules, script)


@pytest.mark.timeout(120 + 2 * LONG)
@examples(100)
@given(rules=steps.rules, script=st.lists(steps.together | steps.one_by_one, min_size=1, max_size=6))
def test_concurrent_results_equal_those_of_the_model_in_ledger_order(service, rules, script):
    service(rules, script)
