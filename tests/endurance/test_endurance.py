"""The short form of the bench: one trial of some faults on each topology. `make endurance` is the long one."""

import pytest

from tests.endurance import trial
from tests.endurance.environment import Environment
from tests.endurance.faults import FAULTS

SHORT = {
    "linked": ("kill-service", "stop-service", "cut", "retries"),
    "three": ("kill-primary",),
    "embedded": ("kill-embedded",),
}
SEED = 20261121


@pytest.mark.timeout(240)
@pytest.mark.parametrize("topology", SHORT)
def test_service_loses_nothing_under_faults(topology, mongod_binary):
    with Environment(topology, SEED) as environment:
        for name in SHORT[topology]:
            outcome = trial.run(environment, [FAULTS[name]], SEED)
            assert outcome.problems == (), f"python -m tests.endurance --faults {name} --seed {SEED}"
            assert outcome.acknowledged > 0
