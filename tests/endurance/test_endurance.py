"""The short form of the bench: one trial of some faults on each ground. `make endurance` is the long one."""

import pytest

from tests.endurance import trial
from tests.endurance.faults import FAULTS
from tests.endurance.stage import Stage

SHORT = {
    "linked": ("kill-service", "stop-service", "cut", "retries"),
    "three": ("kill-primary",),
    "embedded": ("kill-embedded",),
}
SEED = 20261121


@pytest.mark.timeout(240)
@pytest.mark.parametrize("ground", SHORT)
def test_service_loses_nothing_under_faults(ground, mongod_binary):
    with Stage(ground, SEED) as stage:
        for name in SHORT[ground]:
            outcome = trial.run(stage, [FAULTS[name]], SEED)
            assert outcome.problems == (), f"python -m tests.endurance --faults {name} --seed {SEED}"
            assert outcome.acknowledged > 0
