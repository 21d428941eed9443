"""The command `leaderboard`: parses the command line and runs a command, which imports its modules when it runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NoReturn

from tornado_app import __version__, audit
from tornado_app.cli import check_config, completion, database, export, period, tokens
from tornado_app.config import SETTINGS
from tornado_app.config.loading import add_settings, load_options
from tornado_app.config.network import LOOPBACK
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.core.origins import is_loopback
from tornado_app.core.periods import PERIOD_PATTERN
from tornado_app.core.policies import ProofPolicy

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: an error; wrong usage or settings; Ctrl-C (128 + SIGINT)."""

COMMAND = "COMMAND"
"""The metavar of arguments that name a command."""

Command = Callable[[argparse.Namespace], int]

EXIT_CODES = """exit codes:
  0    success; serve, demo and watch: ended by Ctrl-C, SIGTERM or q
  1    an error; audit: a difference was found; --check: refused; export: an entry
       is malformed
  2    the command line or a setting is wrong
  3    database: it belongs to another installation, nothing was changed
  130  Ctrl-C; serve and demo: a second one, which does not wait for requests

leaderboard help COMMAND describes a command; leaderboard completion --help says
how to complete commands and flags by Tab."""

_SERVE = """examples:
  leaderboard serve
      a MongoDB of its own, data in ./leaderboard-data, the page at http://127.0.0.1:8000
  leaderboard serve --mongodb-uri-file /run/secrets/uri --jwt-key-file /run/secrets/jwt \\
                    --proof-key-file /run/secrets/proof --host 0.0.0.0
      a MongoDB of yours, as in production
  leaderboard serve --config leaderboard.yaml --rate-limit 100/1h
      a flag beats an environment variable, which beats the file

Each setting is also an environment variable, LEADERBOARD_ and the name in capitals, and a key of the file."""


_DEMO = """examples:
  leaderboard demo --players 200 --port 9000

It prints a token that is valid for 12 hours, a curl line for each API (curl 7.82 or newer), and where the page is.
Without --boards-file there are two boards: points, and lap times. The data is in ./leaderboard-data (--data-dir) and
kept for the next run; delete the folder to start from scratch. A player may make 10 updates a minute (--rate-limit);
the answer to more is 429."""

_WATCH = """On a terminal, q, Ctrl-D and Ctrl-C quit. Colours are off if NO_COLOR is set.

In a pipe or a file, and with TERM=dumb, it prints a line for each position that changed, the whole board first:
time, position, rank, score, user id and name, separated by tabs. A position that became empty has - in the last four.
Messages about the connection go to standard error.

The first connection must succeed; when a later one breaks, the command reconnects until it is ended."""


class Parser(argparse.ArgumentParser):
    """Suggests the right flag for a mistyped one, and never repeats the value of a flag, which may be secret."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line, instead of the base's usage page."""
        self.exit(MISUSED, f"error: {message} (see {self.prog} --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in the base class, but an unknown argument is an error here, where the flags of this command are known."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._unknown([word.partition("=")[0] for word in rest if word.startswith("-")]))
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As in the base class, which calls it for each argument; the error suggests a similar command."""
        if action.metavar == COMMAND and action.choices is not None and value not in action.choices:
            close = get_close_matches(value, list(action.choices), n=1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise argparse.ArgumentError(None, f"there is no command {value!a}{guess}")
        super()._check_value(action, value)

    def _unknown(self, flags: list[str]) -> str:
        if not flags:
            return "unexpected argument"
        secret = next((each for each in SETTINGS if each.flag == flags[0] and not each.info.flag), None)
        if secret is not None:
            why = "a secret cannot be a flag, because other users can read flags"
            return f"{why}: set {secret.variable} or {secret.flag}-file"
        close = get_close_matches(flags[0], list(self._option_string_actions), n=1)
        return f"there is no flag {flags[0]}" + (f"; did you mean {close[0]}?" if close else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. `argv` None is the process's own arguments."""
    options = _parser().parse_args(argv)
    run: Command = options.run
    try:
        return run(options)
    except ConfigError as error:
        return _fail(MISUSED, *error.faults)
    except StartupError as error:
        return _fail(FAILED, str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone (`| head`); the interpreter would report the error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _fail(code: int, *lines: str) -> int:
    sys.stderr.writelines(f"error: {line}\n" for line in lines)
    return code


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _serve(options: argparse.Namespace) -> int:
    config = load_options(options)
    if (count := config.process_count) > 1:
        from tornado_app.processes import supervisor

        return supervisor.serve(config, count)
    from tornado_app.service import service

    return service.serve(config)


def _demo(options: argparse.Namespace) -> int:
    config = load_options(options, defaults={"action_proof": "optional"})
    if "allowed_hosts" not in config.sources and is_loopback(config.host):
        config = replace(config, allowed_hosts=(*LOOPBACK, config.host))  # no page of a rebound name gets a token
    tokens.refuse_foreign_tokens(config)
    if config.proof_policy is ProofPolicy.REQUIRED:
        raise ConfigError(["action_proof: the demo's players have no game server that signs for them; use optional"])
    from tornado_app import demo

    return demo.run(config, options.players)


def _watch(options: argparse.Namespace) -> int:
    from tornado_app import watch

    return watch.run(options.url, options.board, options.period)


def _period_name(text: str) -> str:
    if not re.fullmatch(PERIOD_PATTERN, text):
        raise argparse.ArgumentTypeError("a period's name has 1 to 16 characters of a-z and 0-9, the first a letter")
    return text


def _openapi(_options: argparse.Namespace) -> int:
    from tornado_app.api.openapi import document

    _print(json.dumps(document.document(), indent=2, ensure_ascii=False))
    return 0


def _asyncapi(_options: argparse.Namespace) -> int:
    from tornado_app.api.openapi import asyncapi

    _print(json.dumps(asyncapi.document(), indent=2, ensure_ascii=False))
    return 0


def _help(parser: argparse.ArgumentParser) -> int:
    _print(parser.format_help().rstrip())
    return 0


def _completion(options: argparse.Namespace) -> int:
    _print(completion.script(_parser(), options.shell).rstrip())
    return 0


def _parser() -> Parser:
    about = "A live top 10 over MongoDB, with WebSockets."
    parser = Parser(prog="leaderboard", description=about, epilog=EXIT_CODES)
    parser.add_argument("-V", "--version", action="version", version=f"leaderboard {__version__}")
    commands = parser.add_subparsers(metavar=COMMAND, required=True, title="commands")

    def add(name: str, run: Command, summary: str, *, settings: bool = False, epilog: str | None = None) -> Parser:
        usage = "%(prog)s [FLAG ...]" if settings else None
        about = f"{summary[0].upper()}{summary[1:]}."
        command = commands.add_parser(name, help=summary, description=about, usage=usage, epilog=epilog)
        command.set_defaults(run=run)
        if settings:
            add_settings(command)
        return command

    add("serve", _serve, "run the service", settings=True, epilog=_SERVE)
    demo = add("demo", _demo, "run the service with simulated players on it", settings=True, epilog=_DEMO)
    demo.add_argument("--players", type=_count, default=50, metavar="N", help="simulated players (default: 50)")
    about = "print a bearer token for a player or a game server, or check one"
    tokens.add_token_options(add("token", tokens.token, about, epilog=tokens.MINTING_EXAMPLES))
    about = "print an action proof, as a game server signs it for a player's update, or check one"
    tokens.add_proof_options(add("sign-action", tokens.sign_action, about, epilog=tokens.SIGNING_EXAMPLES))
    about = "prove that each score is the sum of its ledger; exit 1 if one is not"
    audit.add_options(add("audit", audit.run, about, epilog=audit.EXAMPLES))
    about = "write the ledger to a file or to standard output, as JSON Lines or CSV"
    export.add_options(add("export", export.run, about, epilog=export.EXAMPLES))
    about = "show, release or drop the database of an installation, by the owner recorded in it"
    database.add_options(add("database", database.run, about, epilog=database.EXAMPLES))
    about = "list the epochs of periods, end the open one, write a result as JSON Lines or CSV, disqualify players"
    period.add_options(add("period", period.run, about, epilog=period.EXAMPLES))
    watch = add("watch", _watch, "show the board live in this terminal, or as lines in a pipe", epilog=_WATCH)
    address = "the service's address (default: http://127.0.0.1:8000)"
    watch.add_argument("url", nargs="?", default="http://127.0.0.1:8000", metavar="URL", help=address)
    watch.add_argument("--board", type=tokens.board_name, help="board to show (default: main)")
    about = "period of the board to show, or all for all time (default: what the board shows)"
    watch.add_argument("--period", type=_period_name, metavar="NAME", help=about)
    about = "print the effective settings and where each value comes from, secrets masked"
    check_config.add_options(add("check-config", check_config.run, about, settings=True, epilog=check_config.EXAMPLES))
    add("openapi", _openapi, "print the OpenAPI 3.1 description of the HTTP interface as JSON")
    add("asyncapi", _asyncapi, "print the AsyncAPI 3.0 description of the WebSockets as JSON")
    about = "print a script that completes commands and flags in a shell"
    shells = add("completion", _completion, about, epilog=completion.EXAMPLES)
    shells.add_argument("shell", choices=completion.SHELLS, metavar="SHELL", help=", ".join(completion.SHELLS))
    described = add("help", lambda options: _help(commands.choices.get(options.command, parser)), "describe a command")
    names = list(commands.choices)
    described.add_argument("command", nargs="?", choices=names, metavar=COMMAND, help="default: list the commands")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:9]) <= 100_000 or len(text) > 6:
        raise argparse.ArgumentTypeError("give a whole number of 1 to 100000")
    return int(text)
