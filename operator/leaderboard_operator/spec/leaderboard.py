"""The resource as a whole: what is asked for (`Spec`) and what became of it (`Status`)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leaderboard_operator.spec.exposure import Exposure
from leaderboard_operator.spec.game import Actions, Auth, Database, Live, Logging, RateLimit
from leaderboard_operator.spec.kinds import LocalName, Part, field
from leaderboard_operator.spec.runtime import (
    Autoscaling,
    CertificateSource,
    Disruption,
    Monitoring,
    NetworkPolicy,
    Rollout,
    Template,
)
from leaderboard_operator.spec.settings import Settings


class Spec(Part, frozen=True, kw_only=True):
    """One live leaderboard."""

    replicas: Annotated[int, field("Pods. With autoscaling the HorizontalPodAutoscaler writes it.", ge=0, le=100)] = 2
    image: Annotated[
        str, field("Image of the service. Empty is the operator's own version.", max_length=512, pattern=r"^\S*$")
    ] = ""
    image_pull_secrets: Annotated[list[LocalName], field("Secrets that the image is pulled with.", max_length=8)] = []
    database: Annotated[Database, field("The MongoDB that keeps the scores.")]
    auth: Annotated[Auth, field("Whom the service believes.")]
    actions: Annotated[Actions, field("What players get points for, and what proves it.")]
    rate_limit: Annotated[RateLimit, field("How often one player may score.")] = RateLimit()
    live: Annotated[Live, field("The live board.")] = Live()
    logging: Annotated[Logging, field("What the service logs.")] = Logging()
    settings: Settings = {}
    autoscaling: Annotated[Autoscaling, field("A HorizontalPodAutoscaler; left out, there is none.")] | None = None
    exposure: Annotated[Exposure, field("How the service is reached.")] = Exposure()
    template: Annotated[Template, field("The pods.")] = Template()
    trusted_ca: (
        Annotated[CertificateSource, field("Certificates of authorities to trust beside the image's.")] | None
    ) = msgspec.field(name="trustedCA", default=None)
    rollout: Annotated[Rollout, field("How pods are replaced.")] = Rollout()
    disruption: Annotated[Disruption, field("What may be taken down at once.")] = Disruption()
    network_policy: Annotated[NetworkPolicy, field("Who may open connections to the pods.")] = NetworkPolicy()
    monitoring: Annotated[Monitoring, field("Objects for the Prometheus operator.")] = Monitoring()
    update: Annotated[
        Literal["Automatic", "Manual"],
        field(
            "Whether a newer operator replaces the pods: in turn with other Leaderboards, or only when the spec "
            "changes."
        ),
    ] = "Automatic"
    paused: Annotated[bool, field("Hands off: the operator changes nothing, but reports.")] = False


Text = Annotated[str, Meta(max_length=32768)]


class Condition(Part, frozen=True):
    """One thing that is so, is not so, or is not known."""

    type: Annotated[str, field("What it is about.", max_length=316)]
    status: Annotated[Literal["True", "False", "Unknown"], field("Whether it is so.")]
    reason: Annotated[str, field("Why, in one word for programs.", max_length=1024)]
    message: Annotated[Text, field("Why, and what to do, for people.")]
    last_transition_time: Annotated[str, field("Since when `status` is what it is.", max_length=64)]
    observed_generation: Annotated[int, field("The generation that it was found of.", ge=0)] | None = None


class Status(Part, frozen=True):
    """What became of the spec, as the operator last saw it."""

    observed_generation: Annotated[int, field("The generation that this status is about.", ge=0)] | None = None
    replicas: Annotated[int, field("Pods that are there.", ge=0)] | None = None
    ready_replicas: Annotated[int, field("Pods that take requests.", ge=0)] | None = None
    updated_replicas: Annotated[int, field("Pods of the latest settings and image.", ge=0)] | None = None
    selector: Annotated[Text, field("Label selector of the pods, for the scale subresource.")] | None = None
    version: Annotated[Text, field("Version of the service that is asked for.")] | None = None
    url: Annotated[Text, field("Where the service is reached.")] | None = None
    conditions: Annotated[list[Condition], field("What is so and what is not.", max_length=16)] | None = None
