"""The ServiceAccount of the pods, which have no business with the API server: no token."""

from leaderboard_operator.resources.names import Board, Object


def service_account(board: Board) -> Object | None:
    """The ServiceAccount, unless the pods have one that the spec names."""
    if board.spec.template.spec.service_account_name:
        return None
    return board.object("v1", "ServiceAccount", automountServiceAccountToken=False)
