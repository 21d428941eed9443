"""Who may view, edit or administer a namespace may do so with its Leaderboards, and no more: `kubectl auth can-i`."""

from __future__ import annotations

import pytest

from tests.operator.boards import PATIENCE, Boards
from tests.support.wait import wait_until

READ = ("get leaderboards", "watch leaderboards", "get leaderboards/status", "get leaderboards/scale")
WRITE = ("create leaderboards", "patch leaderboards", "delete leaderboards", "patch leaderboards/scale")
NEVER = ("patch leaderboards/status", "update leaderboards/finalizers")
"""What the operator alone does."""

ALLOWED = {"view": READ, "edit": READ + WRITE, "admin": READ + WRITE}


def can(boards: Boards, role: str, action: str) -> bool:
    verb, resource = action.split()
    name, _, subresource = resource.partition("/")
    what = [f"{name}.leaderboard.dev", *([f"--subresource={subresource}"] if subresource else [])]
    who = (f"--as={role}@games.example", "--namespace", boards.namespace)
    return boards.cluster.kubectl("auth", "can-i", verb, *what, *who, check=False).stdout.strip() == "yes"


def bind(boards: Boards, role: str) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"person-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{role}@games.example"}],
    }
    boards.apply(binding)


@pytest.mark.parametrize("role", ALLOWED)
def test_people_with_a_role_of_a_namespace_have_it_for_leaderboards(install, boards, role):
    bind(boards, role)
    install()
    wait_until(lambda: can(boards, role, ALLOWED[role][-1]), PATIENCE, "the aggregation of the roles")
    assert {each for each in READ + WRITE + NEVER if can(boards, role, each)} == set(ALLOWED[role])
