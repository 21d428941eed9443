"""Positions in a change stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from bson import Timestamp

Token: TypeAlias = Mapping[str, Any]

ResumePoint: TypeAlias = Token | Timestamp
"""A resume token, after which a stream continues, or a cluster time, which is included."""

_TIME = re.compile(r"82([0-9A-F]{8})([0-9A-F]{8})")


def moment(token: Token | None) -> Timestamp | None:
    """The cluster time of a resume token: no earlier event follows it. None if the token does not contain it.

    A resume token is a KeyString in hexadecimal, which begins with the time: type 0x82, seconds, increment. Source:
    MongoDB, src/mongo/db/pipeline/resume_token.h
    """
    match = _TIME.match(str((token or {}).get("_data")))
    return None if match is None else Timestamp(int(match[1], 16), int(match[2], 16))
