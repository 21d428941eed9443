"""A pytest plugin: which tests are long, and are left out of `make test`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LONG_FOLDERS = (
    "attacks",
    "bench",
    "clients",
    "cluster",
    "endurance",
    "grafana",
    "helm",
    "monitoring",
    "node",
    "properties",
)
KUBERNETES_FOLDERS = ("cluster", "helm", "monitoring", "operator")
FIRST = (
    "service/test_service.py",
    "mongo/ledger/test_retention.py",
    "service/test_lifecycle.py",
    "audit/test_audit.py",
    "processes/test_ending.py",
    "processes/test_serving.py",
    "watch/test_watch.py",
    "web/test_access.py",
    "web/test_page.py",
    "mongo/ledger/test_writer.py",
    "mongo/change_stream/test_feed.py",
    "processes/test_following.py",
    "http/test_connection_timeouts.py",
    "mongo/embedded/test_supervisor.py",
    "mongo/client/test_preflight.py",
    "operator/test_errors.py",
    "mongo/players/test_erasure.py",
    "service/test_trusted_ca.py",
    "mongo/ledger/test_reconciliation.py",
    "api/test_socket_tokens.py",
    "api/test_contract.py",
    "web/test_play.py",
    "mongo/players/test_store.py",
    "core/test_decide.py",
)
"""The modules of `make test` that take the most time, which start first so that the last worker ends early."""
CONTROL_PLANE = frozenset({"cluster", "own_cluster"})
"""Fixtures: a test that uses one of them is long."""
SEPARATE = ("compose", "grafana", "nakama", "node", "slow")
"""Markers of tests that have a make target of their own."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test` does not import the long folders."""
    left_out = config.option.markexpr == "not long" and collection_path.parent == TESTS
    return True if left_out and collection_path.name in LONG_FOLDERS else None


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long tests, and put those of the Kubernetes folders last and the slowest modules first.

    A control plane takes a tenth of a core for as long as it runs, so it starts when the other tests are done.
    pytest-xdist keeps this order with `--no-loadscope-reorder`.
    """
    for item in items:
        if is_long(item):
            item.add_marker(pytest.mark.long)
    places = {TESTS / name: place for place, name in enumerate(FIRST)}
    late = {item.path for item in items if is_long(item) and folder(item) in KUBERNETES_FOLDERS}
    items.sort(key=lambda item: (item.path in late, places.get(item.path, len(FIRST))))


def is_long(item: pytest.Item) -> bool:
    """Whether a test is long because of its folder, a fixture or a marker."""
    return (
        folder(item) in LONG_FOLDERS
        or not CONTROL_PLANE.isdisjoint(getattr(item, "fixturenames", ()))
        or any(item.get_closest_marker(name) for name in SEPARATE)
    )


def folder(item: pytest.Item) -> str:
    """The name of the folder in tests/ that holds the test; empty for a test elsewhere."""
    return _folder(item.path)


@cache
def _folder(path: Path) -> str:
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
