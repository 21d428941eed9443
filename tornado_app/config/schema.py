"""The settings as JSON Schema, for programs that check settings without the service: the operator's CRD is one.

`python -m tornado_app.config schema` prints it. A kind that this module does not know is text: every kind reads text.
"""

from __future__ import annotations

import json
from typing import Any

from tornado_app.config.declaration import Setting
from tornado_app.config.durations import Duration, Rate, show_duration
from tornado_app.config.kinds import Choice, Count, File, Flag, Integer, Kind, Text, Texts
from tornado_app.config.network import Url
from tornado_app.config.settings import SETTINGS

Schema = dict[str, Any]

MAX_TEXT, MAX_ITEMS = 4096, 64
"""Maximum length of a text, and of a list."""

_UNITS = "(ms|s|m|h)"
_DURATION = rf"^[0-9]{{1,6}}(\.[0-9]{{1,9}})?{_UNITS}$"
_RATE = rf"^[0-9]{{1,9}}/([0-9]{{1,6}}(\.[0-9]{{1,9}})?)?{_UNITS}$"


def render() -> str:
    """All settings that the YAML file may hold, as a JSON document."""
    found = {setting.name: _setting(setting) for setting in SETTINGS if setting.declared.key}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _setting(setting: Setting) -> Schema:
    declared = setting.declared
    secret = {"secret": True} if declared.secret else {}
    return {"description": declared.doc, **schema(declared.kind), **secret}


def schema(kind: Kind) -> Schema:
    """What a value of `kind` must be in YAML. `from` and `to` are the bounds of a duration."""
    match kind:
        case Count():
            return {"type": ["integer", "string"], "minimum": kind.low, "maximum": kind.high, "pattern": "^auto$"}
        case Integer():
            return {"type": "integer", "minimum": kind.low, "maximum": kind.high}
        case Flag():
            return {"type": "boolean"}
        case Choice():
            return {"type": "string", "enum": list(kind.options)}
        case Duration():
            return {**_text(24, _DURATION), "from": show_duration(kind.low), "to": show_duration(kind.high)}
        case Texts():
            return {"type": "array", "items": _text(255), "maxItems": MAX_ITEMS}
    return _line(kind)


def _line(kind: Kind) -> Schema:
    """A kind whose values are one text."""
    match kind:
        case Rate():
            return _text(32, _RATE)
        case Url():
            return _text(2048, r"^https?://[^\s@#]+$")
        case File():
            return _text(MAX_TEXT, "^/")  # a relative path would start at the container's working directory
        case Text(pattern=str(pattern)):
            return _text(MAX_TEXT, f"^({pattern})$")
    return _text(MAX_TEXT)


def _text(longest: int, pattern: str | None = None) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, **({"pattern": pattern} if pattern else {})}
