"""The exact version of a board, and the number that clients get for it."""

import pytest

from tornado_app.core.versions import (
    exact_version,
    excess_increment,
    from_board_version,
    seconds_of,
    to_board_version,
    version_at,
)

SECONDS = 1_800_000_000
INCREMENTS = (0, 1, 2**21 - 2, 2**21 - 1, 2**21, 2**32 - 1)
VERSIONS = [version_at(seconds, increment) for seconds in (SECONDS, SECONDS + 1) for increment in INCREMENTS]


def test_version_has_the_order_of_the_cluster_time():
    assert sorted(set(VERSIONS)) == VERSIONS
    assert [seconds_of(version) for version in VERSIONS] == [SECONDS] * 6 + [SECONDS + 1] * 6


def test_board_version_never_falls_and_grows_below_the_greatest_of_a_second():
    numbers = [to_board_version(version) for version in VERSIONS]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 8
    assert to_board_version(version_at(SECONDS, 7)) == SECONDS * 2**21 + 7
    assert to_board_version(version_at(2**32 - 1, 2**32 - 1)) == 2**53 - 1


@pytest.mark.parametrize("version", VERSIONS)
def test_board_that_has_reached_a_board_version_has_reached_each_of_its_versions(version):
    reached = from_board_version(to_board_version(version))
    assert reached >= version
    assert to_board_version(reached) == to_board_version(version)


@pytest.mark.parametrize("version", [0, *VERSIONS])
def test_exact_version_is_that_of_board_version_and_excess(version):
    assert exact_version(to_board_version(version), excess_increment(version)) == version


def test_excess_increment_is_0_if_the_board_version_is_exact():
    assert [excess_increment(version) for version in VERSIONS[:6]] == [0, 0, 0, 0, 2**21, 2**32 - 1]
