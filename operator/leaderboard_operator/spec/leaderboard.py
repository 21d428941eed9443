"""The resource: its spec and its status."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leaderboard_operator.spec.application import Actions, Auth, Boards, Database, Live, Logging, RateLimit
from leaderboard_operator.spec.exposure import Exposure, NetworkPolicy
from leaderboard_operator.spec.operations import Autoscaling, Disruption, Monitoring, Rollout
from leaderboard_operator.spec.pod import CertificateSource, Template
from leaderboard_operator.spec.settings import Settings
from leaderboard_operator.spec.types import LocalName, Part, Rule, field


class Spec(Part, frozen=True, kw_only=True):
    """One live leaderboard."""

    RULES = (
        Rule(
            "('main' in self.boards) == ('main' in oldSelf.boards) || has(oldSelf.settings.boards_file) || "
            "[self, oldSelf].all(spec, !('main' in spec.boards) || "
            "(spec.boards['main'].rule == 'Sum' && spec.boards['main'].order == 'Descending'))",
            "rule and order of the board main cannot change: if it is not listed, they are Sum and Descending",
        ),
    )

    replicas: Annotated[
        int, field("Number of pods. With autoscaling, the HorizontalPodAutoscaler writes it.", ge=0, le=100)
    ] = 2
    image: Annotated[
        str, field("Image of the service. If empty, the version of the operator.", max_length=512, pattern=r"^\S*$")
    ] = ""
    image_pull_secrets: Annotated[list[LocalName], field("Secrets for pulling the image.", max_length=8)] = []
    database: Annotated[Database, field("The MongoDB database of the scores.")]
    auth: Annotated[Auth, field("Authentication.")]
    boards: Boards = {}
    actions: Annotated[Actions, field("Actions that give points, and their proofs.")]
    rate_limit: Annotated[RateLimit, field("Maximum rate of updates per player.")] = RateLimit()
    live: Annotated[Live, field("The live leaderboard.")] = Live()
    logging: Annotated[Logging, field("Logs of the service.")] = Logging()
    settings: Settings = {}
    autoscaling: Annotated[Autoscaling, field("A HorizontalPodAutoscaler. If unset, there is none.")] | None = None
    exposure: Annotated[Exposure, field("How clients reach the service.")] = Exposure()
    template: Annotated[Template, field("The pods.")] = Template()
    trusted_ca: (
        Annotated[CertificateSource, field("Certificates of trusted authorities, in addition to those of the image.")]
        | None
    ) = msgspec.field(name="trustedCA", default=None)
    rollout: Annotated[Rollout, field("Replacement of pods.")] = Rollout()
    disruption: Annotated[Disruption, field("The PodDisruptionBudget.")] = Disruption()
    network_policy: Annotated[NetworkPolicy, field("Limits connections to the pods.")] = NetworkPolicy()
    monitoring: Annotated[Monitoring, field("Objects for the Prometheus operator.")] = Monitoring()
    update: Annotated[
        Literal["Automatic", "Manual"],
        field(
            "Whether a newer operator replaces the pods: automatically, a limited number of Leaderboards at a time, "
            "or only when the spec changes."
        ),
    ] = "Automatic"
    paused: Annotated[bool, field("Whether the operator changes nothing and only reports the status.")] = False

    def __post_init__(self) -> None:
        """Refuse a setting that the API server accepted before it had a field: it would override the field."""
        if "boards_file" in self.settings:
            raise ValueError("move the boards of settings.boards_file to spec.boards")


Text = Annotated[str, Meta(max_length=32768)]


class Condition(Part, frozen=True):
    """A status condition."""

    type: Annotated[str, field("Type of the condition.", max_length=316)]
    status: Annotated[Literal["True", "False", "Unknown"], field("True, False or Unknown.")]
    reason: Annotated[str, field("Machine-readable reason of the status.", max_length=1024)]
    message: Annotated[Text, field("Explanation for people, with the remedy of a problem.")]
    last_transition_time: Annotated[str, field("Time of the last change of `status`.", max_length=64)]
    observed_generation: Annotated[int, field("Generation of the spec that the condition refers to.", ge=0)] | None = (
        None
    )


class Status(Part, frozen=True):
    """The state that the operator last observed."""

    observed_generation: Annotated[int, field("Generation of the spec that this status refers to.", ge=0)] | None = None
    replicas: Annotated[int, field("Existing pods.", ge=0)] | None = None
    ready_replicas: Annotated[int, field("Pods that accept requests.", ge=0)] | None = None
    updated_replicas: Annotated[int, field("Pods with the latest settings and image.", ge=0)] | None = None
    selector: Annotated[Text, field("Label selector of the pods, for the scale subresource.")] | None = None
    version: Annotated[Text, field("Version of the service, from its image.")] | None = None
    url: Annotated[Text, field("URL of the service.")] | None = None
    conditions: Annotated[list[Condition], field("Status conditions.", max_length=16)] | None = None
