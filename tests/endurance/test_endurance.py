"""The short form of the bench: one trial of some faults. `make endurance` is the long one."""

import pytest

from tests.endurance import trial
from tests.endurance.faults import FAULTS
from tests.endurance.stage import Stage

SHORT = ("kill-service", "stop-service", "kill-embedded", "kill-primary")


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost(name, mongod_binary):
    seed = 20261121
    fault = FAULTS[name]
    with Stage(fault.ground, seed) as stage:
        outcome = trial.run(stage, [fault], seed)
    assert outcome.problems == (), f"python -m tests.endurance --faults {name} --seed {seed}"
    assert outcome.acknowledged > 0
