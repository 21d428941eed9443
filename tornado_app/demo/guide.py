"""What the demo prints when it is ready: where to look, and how to score."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tornado_app.config import Config
from tornado_app.demo.games import GAMES, Move, curl
from tornado_app.demo.people import CURL

PREFERRED_ACTION = "level_complete"
EXAMPLE_POINTS = 5


def reachable(url: str) -> str:
    """An address to open: a service on every interface is on loopback too, and IPv6 may be switched off there."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:")


def render(config: Config, url: str, metrics_url: str, token: str, players: int, *, bold: bool) -> str:
    """The text, which ends with how to stop. `url` is one to open; `token` that of the curl lines' player."""
    strong, plain = ("\x1b[1m", "\x1b[0m") if bold else ("", "")
    command = _command()
    lines = [
        "",
        f"{strong}Leaderboard demo: {players} simulated player{'s' * (players != 1)}. Not for production.{plain}",
        *_warnings(config, url),
        "",
        f"  Page      {strong}{url}{plain}",
        f"  Terminal  {command} watch {url}",
        f"  Metrics   {reachable(metrics_url)}",
        f"  Data      {_data(config)}",
        f"  Token     {token}",
        f'            (for the player {CURL.user_id}, "{CURL.name}"; valid for 12 hours)',
        "",
        "Score through any of the five frontends; each line works as it is:",
    ]
    for game, line in zip(GAMES, _curl_lines(config, url, token), strict=True):
        lines += ["", f"  {strong}{game.frontend}{plain}  {game.note}", line]
    limit = f"{config.rate_limit.updates} updates in {config.rate_limit.window:g} seconds"
    lines += ["", f"A player may make {limit}; then the answer is 429.", "", f"{strong}Ctrl-C stops it.{plain}", ""]
    return "\n".join(lines)


def _curl_lines(config: Config, url: str, token: str) -> list[str]:
    actions = config.action_points
    action = PREFERRED_ACTION if PREFERRED_ACTION in actions else next(iter(actions))
    points = min(EXAMPLE_POINTS, config.max_increment)
    lines = []
    for game in GAMES:
        unique = f"curl-{uuid4().hex[:8]}" if game.frontend == "C" else ""
        lines.append(curl(game, url, token, Move(CURL.user_id, points, action, unique)))
    return lines


def _warnings(config: Config, url: str) -> list[str]:
    warnings = []
    if not _is_loopback(url, config.host):
        warnings.append(f"Whoever can reach {config.host} can play: /demo/session gives a token to anybody who asks.")
    if not config.embedded:
        warnings.append(
            f'The simulated players are written to the database "{config.mongodb_database}" of your MongoDB.'
        )
    return warnings


def _is_loopback(url: str, host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return urlsplit(url).hostname == "localhost"


def _data(config: Config) -> str:
    if not config.embedded:
        return f"database {config.mongodb_database}, which keeps the board"
    return f"{config.data_dir} (kept for the next run; delete it to start from scratch)"


def _command() -> str:
    """This program as it was called."""
    return sys.argv[0] if Path(sys.argv[0]).name == "leaderboard" else "python -m tornado_app"
