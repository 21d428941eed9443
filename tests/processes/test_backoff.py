"""How long a place waits for its next process."""

from tornado_app.processes.backoff import FIRST_PAUSE, LONGEST_PAUSE, STABLE_SECONDS, Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def crashes(backoff: Backoff, clock: Clock, *lives: float) -> list[float]:
    """The pauses after processes that lived so long, one after the other."""
    pauses = []
    for life in lives:
        backoff.began()
        clock.now += life
        pauses.append(backoff.ended())
        clock.now += pauses[-1]
    return pauses


def test_the_pause_doubles_up_to_the_longest():
    clock = Clock()
    pauses = crashes(Backoff(clock=clock, chance=lambda: 0.0), clock, *[1.0] * 12)
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-2:] == [LONGEST_PAUSE, LONGEST_PAUSE]
    assert pauses == sorted(pauses)


def test_who_ran_for_a_while_starts_anew_and_who_ran_a_little_less_does_not():
    clock = Clock()
    backoff = Backoff(clock=clock, chance=lambda: 0.0)
    crashes(backoff, clock, *[0.1] * 5)
    assert crashes(backoff, clock, STABLE_SECONDS - 0.001) == [32 * FIRST_PAUSE]
    assert crashes(backoff, clock, STABLE_SECONDS, 0.1) == [FIRST_PAUSE, 2 * FIRST_PAUSE]


def test_the_pauses_before_do_not_count_as_life():
    clock = Clock()
    backoff = Backoff(clock=clock, chance=lambda: 0.0)
    crashes(backoff, clock, *[0.1] * 12)
    assert crashes(backoff, clock, 0.1) == [LONGEST_PAUSE]


def test_chance_takes_up_to_half_of_the_pause():
    clock = Clock()
    for chance, share in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.5)):
        backoff = Backoff(clock=clock, chance=lambda chance=chance: chance)
        assert crashes(backoff, clock, 0, 0) == [share * FIRST_PAUSE, share * 2 * FIRST_PAUSE]
    assert len({Backoff().ended() for _ in range(20)}) > 1
