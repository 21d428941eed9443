"""How the delays between retries and restarts grow."""

from tests.support.clock import Clock
from tornado_app.runtime.backoff import RestartBackoff, backoff

FIRST, MAXIMUM, STABLE = 0.1, 30.0, 30.0


def crashes(restarts: RestartBackoff, clock: Clock, *lives: float) -> list[float]:
    """The delays after consecutive runs of these lengths."""
    delays = []
    for life in lives:
        restarts.started()
        clock.now += life
        delays.append(restarts.exited())
        clock.now += delays[-1]
    return delays


def test_backoff_doubles_up_to_the_maximum():
    assert [backoff(failures, 5, 300) for failures in range(9)] == [0, 5, 10, 20, 40, 80, 160, 300, 300]
    assert backoff(10_000, 5, 300) == 300


def test_restart_backoff_doubles_up_to_the_maximum():
    clock = Clock(100.0)
    delays = crashes(RestartBackoff(FIRST, MAXIMUM, stable=STABLE, clock=clock), clock, *[1.0] * 12)
    assert delays[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert delays[-2:] == [MAXIMUM, MAXIMUM]
    assert delays == sorted(delays)


def test_restart_backoff_is_reset_by_a_stable_run_only():
    clock = Clock(100.0)
    restarts = RestartBackoff(FIRST, MAXIMUM, stable=STABLE, clock=clock)
    crashes(restarts, clock, *[0.1] * 5)
    assert crashes(restarts, clock, STABLE - 0.001) == [32 * FIRST]
    assert restarts.failures == 6
    assert crashes(restarts, clock, STABLE + 0.001, 0.1) == [FIRST, 2 * FIRST]
    assert restarts.failures == 2


def test_restart_backoff_does_not_count_delays_as_run_time():
    clock = Clock(100.0)
    restarts = RestartBackoff(FIRST, MAXIMUM, stable=STABLE, clock=clock)
    crashes(restarts, clock, *[0.1] * 12)
    assert crashes(restarts, clock, 0.1) == [MAXIMUM]
