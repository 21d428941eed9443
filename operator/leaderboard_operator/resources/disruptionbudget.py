"""The PodDisruptionBudget, where a second pod serves meanwhile; with one pod it would block the drain of a node."""

from leaderboard_operator.resources.names import Board, Object


def disruption_budget(board: Board) -> Object | None:
    """The PodDisruptionBudget, from two pods on."""
    if board.replicas < 2:
        return None
    return board.object(
        "policy/v1",
        "PodDisruptionBudget",
        spec={
            "maxUnavailable": board.spec.disruption.max_unavailable,
            "selector": {"matchLabels": board.selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )
