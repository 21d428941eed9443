"""The settings: one typed, frozen `Config` from flags, environment and file. No other package reads settings."""

from tornado_app.config.checks import warnings
from tornado_app.config.configuration import Config, Effective
from tornado_app.config.declaration import Setting
from tornado_app.config.loading import load_config
from tornado_app.config.settings import SETTINGS
from tornado_app.config.value_types import InvalidValue, parse_duration

__all__ = ["SETTINGS", "Config", "Effective", "InvalidValue", "Setting", "load_config", "parse_duration", "warnings"]
