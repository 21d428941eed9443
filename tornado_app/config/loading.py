"""Loads the settings from all sources and validates them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from tornado_app.config.checks import check
from tornado_app.config.configuration import Config
from tornado_app.config.files import read_actions
from tornado_app.config.settings import SETTINGS
from tornado_app.config.sources import LoadedSettings, load_values
from tornado_app.core.errors import ConfigError


def load_config(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    defaults: Mapping[str, object] | None = None,
    relevant: Collection[str] | None = None,
) -> Config:
    """The settings from flags (by setting's name, as text), environment, file and defaults, in that precedence.

    `environ` None is the process's own. `defaults`: values in place of the declared ones. `relevant`: the settings
    that matter to the caller, so that what only others lack is no fault; None is all. Raises ConfigError with every
    fault there is.
    """
    variables = os.environ if environ is None else environ
    loaded = load_values(SETTINGS, flags or {}, variables)
    values = {**(defaults or {}), **loaded.values}
    config = Config(**values, color=not variables.get("NO_COLOR"), sources=loaded.sources)
    return _checked(config, loaded, relevant)


def _checked(config: Config, loaded: LoadedSettings, relevant: Collection[str] | None) -> Config:
    """`config` with its actions, once everything about it is known to be good; else ConfigError."""
    if config.actions_file is not None:
        try:
            config = replace(config, action_points=MappingProxyType(read_actions(config.actions_file)))
        except ConfigError as error:
            for fault in error.faults:
                loaded.add_error("actions_file", fault)
    check(config, loaded, relevant)
    if loaded.faults:
        raise ConfigError(loaded.faults)
    return config
