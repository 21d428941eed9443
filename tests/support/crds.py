"""CustomResourceDefinitions that come and go while an API server runs."""

from __future__ import annotations

from tests.support.cluster import ControlPlane
from tests.support.wait import wait_until

SERVED_SECONDS = 60


def wait_served(cluster: ControlPlane, *names: str) -> None:
    """Wait until the API server lists the resources, which may be some time after the condition `Established`."""
    for name in names:
        lists = ("get", name, "--all-namespaces")
        wait_until(lambda lists=lists: cluster.kubectl(*lists, check=False).returncode == 0, SERVED_SECONDS, name)


def delete_crds(cluster: ControlPlane, *names: str) -> None:
    """Delete those that are there, and wait until they are gone.

    One that is not served yet is waited for first. The API server lists its resources before it lets go of one; where
    that fails with "storage is (re)initializing" it tries again after 5 ms, and if what it knows of the definition is
    by then not its own last write, it never does (apiextensions-apiserver 0.35, crd_finalizer.go, `sync`).
    """
    there = [name for name in names if cluster.get("crd", name) is not None]
    wait_served(cluster, *there)
    if there:
        cluster.kubectl("delete", "crd", *there)
