"""The short form: a trial of some faults on each topology, and with two processes. `make endurance` is the long one."""

import pytest

from tests.endurance import trial
from tests.endurance.environment import Environment
from tests.endurance.faults import FAULTS
from tests.support import faketime
from tests.support.requirements import missing

SHORT = [
    pytest.param("linked", 1, ("kill-service", "stop-service", "cut", "retries"), id="linked"),
    pytest.param("linked", 2, ("kill-service", "cut"), id="two processes", marks=pytest.mark.long),
    pytest.param("three", 1, ("kill-primary",), id="three"),
    pytest.param("embedded", 1, ("kill-embedded",), id="embedded"),
    pytest.param("periods", 1, ("kill-planner", "primary-at-boundary"), id="periods", marks=pytest.mark.long),
]
SEED = 20261121


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("topology", "processes", "faults"), SHORT)
def test_service_loses_nothing_under_faults(topology, processes, faults, mongod_binary):
    if topology == "periods" and faketime.library() is None:
        missing(faketime.NEEDED)
    with Environment(topology, SEED, processes) as environment:
        for name in faults:
            outcome = trial.run(environment, [FAULTS[name]], SEED)
            repeat = f"python -m tests.endurance --faults {name} --seed {SEED} --processes {processes}"
            assert outcome.problems == (), repeat
            assert outcome.acknowledged > 0
