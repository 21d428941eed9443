"""The settings: one typed, frozen `Config` from flags, environment and file. Nothing else reads the environment."""

from tornado_app.config.checks import advice
from tornado_app.config.configuration import Config, Effective
from tornado_app.config.declaration import Setting
from tornado_app.config.durations import parse_duration
from tornado_app.config.kinds import Refused
from tornado_app.config.loading import load_config
from tornado_app.config.settings import SETTINGS

__all__ = ["SETTINGS", "Config", "Effective", "Refused", "Setting", "advice", "load_config", "parse_duration"]
