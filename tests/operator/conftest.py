"""The operator, with the rights that the chart gives it and no others, on a Kubernetes control plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.operator.boards import Boards
from tests.support.cluster import Cluster
from tests.support.kubernetes import make_namespace
from tests.support.operator import Installation, Operator, install_crd


@pytest.fixture(scope="session")
def crd(cluster: Cluster) -> Cluster:
    """The shared cluster, which knows Leaderboards."""
    install_crd(cluster)
    return cluster


@pytest.fixture
def boards(crd: Cluster, namespace: str) -> Iterator[Boards]:
    """The Leaderboards of a namespace of the test's own, which has the Secrets that they name."""
    found = Boards(crd, namespace)
    found.secrets()
    yield found
    found.reader.close()


@pytest.fixture
def tenant(crd) -> Iterator[Boards]:
    """The namespace of another tenant."""
    name = f"tenant-{uuid4().hex[:8]}"
    make_namespace(crd, name)
    found = Boards(crd, name)
    found.secrets()
    yield found
    found.reader.close()
    crd.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def install(crd: Cluster) -> Iterator[Callable[..., Installation]]:
    """Makes installations, each in a namespace of its own: `install()` for all namespaces, or `install(watch=(…,))`."""
    with ExitStack() as stack:

        def make(watch: tuple[str, ...] = ()) -> Installation:
            name = f"operator-{uuid4().hex[:8]}"
            make_namespace(crd, name)
            stack.callback(crd.kubectl, "delete", "namespace", name, "--wait=false")
            return stack.enter_context(Installation(crd, name, watch))

        yield make


@pytest.fixture
def run_operator(install: Callable[..., Installation], tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Starts operators; all are gone in the end. Those of one installation compete for its lease."""
    with ExitStack() as stack:

        def run(installation: Installation | None = None) -> Operator:
            log = tmp_path / f"operator-{uuid4().hex[:8]}.log"
            operator = Operator(installation or install(), log)
            stack.callback(operator.close)
            operator.start()
            return operator

        yield run


@pytest.fixture(scope="module")
def shared_operator(crd: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A running operator that looks after all namespaces, for tests of a module that do it no harm."""
    name = f"operator-{uuid4().hex[:8]}"
    make_namespace(crd, name)
    with Installation(crd, name) as installation:
        operator = Operator(installation, tmp_path_factory.mktemp("operator") / "operator.log")
        try:
            operator.start()
            yield operator
        finally:
            operator.close()
            crd.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def operator(run_operator: Callable[..., Operator]) -> Operator:
    """A running operator that looks after all namespaces."""
    return run_operator()
