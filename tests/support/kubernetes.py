"""A pytest plugin: a Kubernetes control plane, and namespaces on it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.cluster.build import CLUSTER, CRDS, find
from tests.support.building import NotBuiltError
from tests.support.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The control plane that all tests of this worker share."""
    need_programs(*CLUSTER, *CRDS)
    with Cluster() as running:
        yield running


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A control plane whose programs the test may freeze, kill and restart."""
    need_programs(*CLUSTER, *CRDS)
    with Cluster() as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, which runs only what the restricted Pod Security Standard allows."""
    name = f"test-{uuid4().hex[:10]}"
    make_namespace(cluster, name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def make_namespace(cluster: Cluster, name: str) -> None:
    """Make a namespace that enforces the restricted Pod Security Standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def need_programs(*names: str) -> None:
    """Skip, or with CI=true fail, where a program of the test cluster is not built."""
    from tests.support.requirements import missing  # which names this plugin, and so is loaded first

    try:
        for name in names:
            find(name)
    except NotBuiltError as error:
        missing(str(error))
