"""The OpenAPI schema of a type in the form of a CRD: without references."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

Schema = dict[str, Any]

_BOUNDS = {"ge": "minimum", "le": "maximum", "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
_LIST_BOUNDS = {"min_length": "minItems", "max_length": "maxItems"}
_DICT_BOUNDS = {"min_length": "minProperties", "max_length": "maxProperties"}


def schema(kind: type) -> Schema:
    """The schema of `kind`, a `Part`."""
    return _schema(inspect.type_info(kind))


def _schema(info: inspect.Type) -> Schema:
    match info:
        case inspect.Metadata():
            return _merged(_schema(info.type), info.extra_json_schema or {})
        case inspect.UnionType():
            return _union(info)
        case inspect.StructType():
            return _struct(info)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64", **_bounds(info, _BOUNDS)}
        case inspect.StrType():
            return {"type": "string", **_bounds(info, _BOUNDS)}
        case inspect.LiteralType():
            return {"type": "string", "enum": list(info.values)}
        case inspect.ListType():
            return {"type": "array", "items": _schema(info.item_type), **_bounds(info, _LIST_BOUNDS)}
        case inspect.DictType():
            return _map(info)
    raise TypeError(f"no schema for {info}")


def _union(info: inspect.UnionType) -> Schema:
    kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
    return _schema(kinds[0]) if len(kinds) == 1 else {}  # a union is an x-kubernetes-int-or-string


def _map(info: inspect.DictType) -> Schema:
    bounds = _bounds(info, _DICT_BOUNDS)
    if isinstance(info.value_type, inspect.AnyType):
        return {"type": "object", **bounds}
    return {"type": "object", "additionalProperties": _schema(info.value_type), **bounds}


def _struct(info: inspect.StructType) -> Schema:
    schema_: Schema = {"type": "object", "description": (info.cls.__doc__ or "").strip()}
    schema_["properties"] = {field.encode_name: _field(field) for field in info.fields}
    required = [field.encode_name for field in info.fields if field.required]
    if required:
        schema_["required"] = required
    rules = getattr(info.cls, "RULES", ())
    if rules:
        schema_["x-kubernetes-validations"] = msgspec.to_builtins(rules)
    return schema_


def _field(info: inspect.Field) -> Schema:
    schema_ = _schema(info.type)
    default = info.default
    if info.default_factory is not msgspec.NODEFAULT:
        default = info.default_factory()
    if default is not msgspec.NODEFAULT and default is not None:
        schema_["default"] = _plain(default)
    return schema_


def _plain(default: Any) -> Any:
    """A default with all its fields, because the API server checks rules before it fills in nested defaults."""
    if not isinstance(default, msgspec.Struct):
        return default
    pairs = (
        (encoded, getattr(default, name))
        for name, encoded in zip(default.__struct_fields__, default.__struct_encode_fields__, strict=True)
    )
    return {name: _plain(value) for name, value in pairs if value is not None}


def _bounds(info: Any, names: dict[str, str]) -> Schema:
    return {names[name]: getattr(info, name) for name in names if getattr(info, name, None) is not None}


def _merged(base: Schema, extra: Schema) -> Schema:
    """`extra` overrides `base`; rules of both apply."""
    both = "x-kubernetes-validations"
    rules = [*base.get(both, []), *extra.get(both, [])]
    return {**base, **extra, **({both: rules} if rules else {})}
