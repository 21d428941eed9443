"""The ServiceAccount of the pods, which have no business with the API server: no token."""

from leaderboard_operator.resources.names import Board, Object


def service_account(board: Board) -> Object:
    """The ServiceAccount."""
    return board.object("v1", "ServiceAccount", automountServiceAccountToken=False)
