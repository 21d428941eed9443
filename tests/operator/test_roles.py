"""The aggregated cluster roles: view, edit and admin include Leaderboards (`kubectl auth can-i`)."""

from __future__ import annotations

import pytest

from tests.support.leaderboards import TIMEOUT, Leaderboards
from tests.support.wait import wait_until

READ = ("get leaderboards", "watch leaderboards", "get leaderboards/status", "get leaderboards/scale")
WRITE = ("create leaderboards", "patch leaderboards", "delete leaderboards", "patch leaderboards/scale")
NEVER = ("patch leaderboards/status", "update leaderboards/finalizers")
"""Rights of the operator only."""

ALLOWED = {"view": READ, "edit": READ + WRITE, "admin": READ + WRITE}


def can(leaderboards: Leaderboards, role: str, action: str) -> bool:
    verb, resource = action.split()
    name, _, subresource = resource.partition("/")
    target = [f"{name}.leaderboard.dev", *([f"--subresource={subresource}"] if subresource else [])]
    identity = (f"--as={role}@games.example", "--namespace", leaderboards.namespace)
    return leaderboards.cluster.kubectl("auth", "can-i", verb, *target, *identity, check=False).stdout.strip() == "yes"


def bind(leaderboards: Leaderboards, role: str) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"person-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{role}@games.example"}],
    }
    leaderboards.apply(binding)


@pytest.mark.parametrize("role", ALLOWED)
def test_user_with_role_has_its_rights_for_leaderboards(install, leaderboards, role):
    bind(leaderboards, role)
    install()
    wait_until(lambda: can(leaderboards, role, ALLOWED[role][-1]), TIMEOUT, "the aggregation of the roles")
    assert {action for action in READ + WRITE + NEVER if can(leaderboards, role, action)} == set(ALLOWED[role])
