"""The demo's output when it is ready: addresses, and requests that score."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

from tornado_app.config import Config
from tornado_app.core.origins import is_loopback
from tornado_app.demo.games import GAMES, Move, body_of, curl, path_of, values_of
from tornado_app.demo.identities import CURL

PREFERRED_ACTION = "level_complete"
EXAMPLE_POINTS = 5


def reachable(url: str) -> str:
    """An address to open: a service on every interface is on loopback too, where IPv6 may be switched off."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:")


def render(config: Config, url: str, token: str, players: int, *, bold: bool) -> str:
    """The text, with the page's address last. `url` is one to open; `token` that of the curl lines' player.

    It fits a terminal of 80 columns and 24 rows.
    """
    strong, plain = ("\x1b[1m", "\x1b[0m") if bold else ("", "")
    count = f"{players} simulated player{'s' * (players != 1)}"
    lines = [
        "",
        f"{strong}Leaderboard demo: {count}. Not for production. Ctrl-C stops it.{plain}",
        *_warnings(config),
        f"export URL={url} TOKEN={token}",
        *_curl_lines(config, url),
        "",
        f"Terminal  {_command()} watch {url}",
        f"API docs  {url}/docs",
        *(f"Period    {url}/?period={period.name}" for period in config.boards[0].periods),
        f"Page      {strong}{url}{plain}",
        "",
    ]
    return "\n".join(lines)


def _curl_lines(config: Config, url: str) -> list[str]:
    actions = config.action_points
    action = PREFERRED_ACTION if PREFERRED_ACTION in actions else next(iter(actions))
    points = min(EXAMPLE_POINTS, config.max_increment)
    insecure = url.startswith("https:")
    lines = []
    for game in GAMES:
        unique = f"curl-{uuid4().hex[:4]}" if game.frontend == "C" else ""
        move = Move(CURL.user_id, points, action, unique)
        lines.append(curl(game.path, game.body(move), insecure=insecure))
    return lines + [
        curl(path_of(board), body_of(board, sum(values_of(board)) // 2), insecure=insecure)
        for board in config.boards[1:2]
    ]


def _warnings(config: Config) -> list[str]:
    warnings = []
    if not is_loopback(config.host):
        warnings.append(f"Everyone who can reach {config.host} can play: /demo/session issues a token on each request.")
    if not config.embedded:
        warnings.append(
            f'The simulated players are written to the database "{config.mongodb_database}" of your MongoDB.'
        )
    return warnings


def _command() -> str:
    """The command line of this program."""
    return sys.argv[0] if Path(sys.argv[0]).name == "leaderboard" else "python -m tornado_app"
