"""The formulas of the policies: for how long, and how many actions, a player's document remembers."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.model import Scope
from tornado_app.core.policies import (
    MAX_CLOCK_SKEW,
    PROFILE_LIMIT,
    ClaimNames,
    KeySettings,
    RateLimit,
    history_retention,
)

LIMITS = st.builds(RateLimit, st.integers(1, 100), st.integers(1, 7200) | st.floats(0.5, 7200))
LIFETIMES = st.floats(0, 86_400)


@pytest.mark.parametrize(("seconds", "ms"), [(60.0, 60_000), (0.5, 500), (12.3456, 12_346), (12.3454, 12_345)])
def test_rate_limit_window_is_rounded_to_milliseconds(seconds, ms):
    assert RateLimit(1, seconds).window_ms == ms


@pytest.mark.parametrize(
    ("window", "lifetime", "windows"),
    [(60, 0, 2), (60, 90, 2), (60, 90.5, 3), (60, 150, 3), (10, 60, 9), (10, 60.1, 10), (0.5, 5, 70)],
)
def test_rate_limit_windows_cover_the_lifetime_and_the_clock_skew(window, lifetime, windows):
    assert RateLimit(1, window).windows(lifetime) == windows
    assert RateLimit(7, window).idempotency_history_size(lifetime) == 7 * windows


@pytest.mark.parametrize(
    ("window", "lifetime", "seconds"),
    [(60, 5, 120), (60, 100, 180), (5, 5, 60), (5, 45, 75), (40.25, 0, 81)],
)
def test_history_retention_is_whole_windows_and_no_less_than_the_profile_window(window, lifetime, seconds):
    assert history_retention(RateLimit(10, window), lifetime) == seconds


@given(LIMITS, LIFETIMES)
def test_history_retention_outlasts_an_action_on_a_slow_clock_by_less_than_a_window(limit, lifetime):
    needed = max(lifetime + MAX_CLOCK_SKEW, 2 * limit.window, PROFILE_LIMIT.window)
    assert needed <= history_retention(limit, lifetime) <= math.ceil(needed + limit.window)


@given(LIMITS, LIFETIMES)
def test_idempotency_history_size_is_the_updates_that_the_limit_accepts_in_that_time(limit, lifetime):
    size = limit.idempotency_history_size(lifetime)
    assert size % limit.updates == 0
    assert size / limit.updates * limit.window >= lifetime + MAX_CLOCK_SKEW
    assert size >= 2 * limit.updates


@pytest.mark.parametrize(
    ("changes", "configured"),
    [
        ({}, False),
        ({"key": "secret"}, True),
        ({"key_file": Path("key.pem")}, True),
        ({"jwks_file": Path("keys.json")}, True),
    ],
)
def test_key_settings_are_configured_by_any_of_the_three(changes, configured):
    settings = {"key": None, "key_file": None, "jwks_file": None, "algorithm": "HS256", "generated": Path("generated")}
    assert KeySettings(**(settings | changes)).configured == configured


def test_key_settings_repr_does_not_contain_the_key():
    assert "secret" not in repr(KeySettings("secret", None, None, "HS256", Path("generated")))


def test_claim_names_grant_each_power_by_its_own_scopes():
    names = ClaimNames(write_scopes=("game",), admin_scopes=("staff", "root"))
    assert names.granting(Scope.WRITE) == ("game",)
    assert names.granting(Scope.ADMIN) == ("staff", "root")
