"""`leaderboard database`: shows, releases and drops the database of an installation, by the owner recorded in it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, TextIO

from tornado_app.config import Config
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core.errors import ConfigError

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from tornado_app.mongo.client.driver import Client

SETTINGS = (
    "config", "mongodb_uri", "mongodb_uri_file", "mongodb_database", "mongodb_driver", "mongodb_timeout",
    "database_owner",
)  # fmt: skip
"""The settings of the database, and of its owner."""

ACTIONS = ("show", "release", "drop")

NO_OWNER = "no owner is recorded"

KEPT = 3
"""Exit code if nothing was changed, because the database belongs to another installation."""

EXAMPLES = """examples:
  leaderboard database show --mongodb-uri-file /run/secrets/uri
      the owner that is recorded in the database
  leaderboard database release --database-owner games/arcade/5d0c0f7c-6f0c-4c35-9d5f-8f2d4a1b7c11
      the next service that claims the database becomes its owner; stop the old ones first
  leaderboard database drop --database-owner games/arcade/5d0c0f7c-6f0c-4c35-9d5f-8f2d4a1b7c11
      all collections of the service; other collections stay

The exit code is 0 on success, 1 if MongoDB cannot be used, 2 if a setting is wrong, and 3 if nothing was changed
because the database belongs to another installation."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions and flags of `leaderboard database` to `parser`."""
    parser.add_argument("action", choices=ACTIONS, help="the action")
    add_some_settings(parser, SETTINGS)


def run(options: argparse.Namespace, *, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Carry out one action; the exit code. Raises ConfigError and StartupError."""
    import asyncio

    from tornado_app.mongo.ownership import ForeignDatabase

    config = load_options(options, relevant=SETTINGS)
    if config.embedded:
        raise ConfigError(["mongodb_uri: name the MongoDB; an embedded database has no owner"])
    if config.owner is None and options.action != "show":
        raise ConfigError(["database_owner: name the owner, as namespace/name/uid"])
    try:
        sentence = asyncio.run(_connected(config, options.action))
    except ForeignDatabase as error:
        (err or sys.stderr).write(f"error: {error}; nothing was changed\n")
        return KEPT
    (out or sys.stdout).write(f"{sentence}\n")
    return 0


async def _connected(config: Config, action: str) -> str:
    from tornado_app.mongo.client import preflight
    from tornado_app.mongo.client.driver import maybe_await

    client = preflight.open_client(config.read_mongodb_uri() or "", config.mongodb_driver, config.mongodb_timeout)
    try:
        return await _act(client, config, action)
    finally:
        await maybe_await(client.close())


async def _act(client: Client, config: Config, action: str) -> str:
    """Carry out an action; the sentence that reports it."""
    from tornado_app.mongo import ownership

    owner, database = config.owner, config.mongodb_database
    if action == "show" or owner is None:
        found = await ownership.read(client, database)
        return NO_OWNER if found is None else f"{found} (uid {found.uid})"
    if action == "release":
        return f"released from {owner}" if await ownership.release(client, database, owner) else NO_OWNER
    left = await ownership.drop(client, database, owner)
    return "dropped" + (f"; collections that stay: {', '.join(left)}" if left else "")
