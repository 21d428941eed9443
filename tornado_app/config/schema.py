"""The settings as JSON Schema, for programs that check settings without the service, such as the operator (CRD).

`python -m tornado_app.config schema` prints it. Value types that this module does not know are text.
"""

from __future__ import annotations

import json
from typing import Any

from tornado_app.config.declaration import Setting
from tornado_app.config.network import Url
from tornado_app.config.settings import SETTINGS
from tornado_app.config.value_types import (
    Choice,
    Count,
    Days,
    Duration,
    File,
    Flag,
    Integer,
    Rate,
    Text,
    Texts,
    ValueType,
    format_duration,
)

Schema = dict[str, Any]

MAX_TEXT, MAX_ITEMS = 4096, 64
"""Maximum length of a text, and of a list."""

_UNITS = "(ms|s|m|h)"
_DURATION = rf"^[0-9]{{1,6}}(\.[0-9]{{1,9}})?{_UNITS}$"
_RATE = rf"^[0-9]{{1,9}}/([0-9]{{1,6}}(\.[0-9]{{1,9}})?)?{_UNITS}$"


def render() -> str:
    """All settings that the YAML file may hold, as a JSON document."""
    found = {setting.name: _setting(setting) for setting in SETTINGS if setting.info.key}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _setting(setting: Setting) -> Schema:
    info = setting.info
    secret = {"secret": True} if info.secret else {}
    return {"description": info.doc, **schema(info.value_type), **secret}


def schema(value_type: ValueType) -> Schema:
    """The JSON Schema of a value in YAML. `from` and `to` are the bounds of a duration."""
    match value_type:
        case Count():
            return {
                "type": ["integer", "string"],
                "minimum": value_type.low,
                "maximum": value_type.high,
                "pattern": "^auto$",
            }
        case Integer():
            return {"type": "integer", "minimum": value_type.low, "maximum": value_type.high}
        case Flag():
            return {"type": "boolean"}
        case Choice():
            return {"type": "string", "enum": list(value_type.options)}
        case Duration():
            return {
                **_text(24, _DURATION),
                "from": format_duration(value_type.low),
                "to": format_duration(value_type.high),
            }
        case Texts():
            return {"type": "array", "items": _text(255), "maxItems": MAX_ITEMS}
    return _line(value_type)


def _line(value_type: ValueType) -> Schema:
    """The schema of a value type that is one text."""
    match value_type:
        case Rate():
            return _text(32, _RATE)
        case Days():
            return _text(6, rf"^([{value_type.low}-9]|[1-9][0-9]{{1,4}})d$")
        case Url():
            return _text(2048, r"^https?://[^\s@#]+$")
        case File():
            return _text(MAX_TEXT, "^/")  # a relative path would start at the container's working directory
        case Text(pattern=str(pattern)):
            return _text(MAX_TEXT, f"^({pattern})$")
    return _text(MAX_TEXT)


def _text(longest: int, pattern: str | None = None) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, **({"pattern": pattern} if pattern else {})}
