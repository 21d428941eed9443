"""The operator on a Kubernetes control plane, with the rights of the chart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster
from tests.support.kubernetes import make_namespace
from tests.support.leaderboards import Leaderboards
from tests.support.operator import Installation, Operator, install_crd


@pytest.fixture(scope="session")
def crd(cluster: Cluster) -> Cluster:
    """The shared cluster with the CRD of Leaderboards."""
    install_crd(cluster)
    return cluster


@pytest.fixture
def leaderboards(crd: Cluster, namespace: str) -> Iterator[Leaderboards]:
    """The Leaderboards of the namespace of the test, with their Secrets."""
    client = Leaderboards(crd, namespace)
    client.create_secrets()
    yield client
    client.reader.close()


@pytest.fixture
def tenant(crd) -> Iterator[Leaderboards]:
    """The Leaderboards of another namespace."""
    name = f"tenant-{uuid4().hex[:8]}"
    make_namespace(crd, name)
    client = Leaderboards(crd, name)
    client.create_secrets()
    yield client
    client.reader.close()
    crd.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def install(crd: Cluster) -> Iterator[Callable[..., Installation]]:
    """Creates installations in separate namespaces: `install()` for all namespaces, or `install(watch=(…,))`."""
    with ExitStack() as stack:

        def make(watch: tuple[str, ...] = ()) -> Installation:
            name = f"operator-{uuid4().hex[:8]}"
            make_namespace(crd, name)
            stack.callback(crd.kubectl, "delete", "namespace", name, "--wait=false")
            return stack.enter_context(Installation(crd, name, watch))

        yield make


@pytest.fixture
def run_operator(install: Callable[..., Installation], tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Starts operators, and stops them after the test. Operators of one installation compete for its lease."""
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
    """A running operator for all namespaces, shared by the tests of a module."""
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
    """A running operator for all namespaces."""
    return run_operator()
