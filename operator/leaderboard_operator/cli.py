"""The command `leaderboard-operator`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, get_args

from leaderboard_operator import VERSION
from leaderboard_operator.logs import FORMATS, LEVELS, configure
from leaderboard_operator.monitoring.rules import Routing, Severity

log = logging.getLogger(__name__)

RUNBOOK_URL = "address of the folder that holds the pages of docs/runbooks/, for links in alerts"
GRAFANA_URL = "address of the Grafana that has the dashboards, for links in alerts"
SEVERITY = "value of the label severity for pages or tickets, such as page=critical; may be repeated"
ALERT_LABEL = "a label of every alert, such as team=games; may be repeated"


FAILED, INTERRUPTED = 1, 130
"""Exit codes: it did not work; Ctrl-C (128 + SIGINT). argparse exits with 2 if the command line is wrong."""

EXIT_CODES = """exit codes:
  0    success; run: ended by SIGTERM or Ctrl-C
  1    an error; run: the lease was lost, or an error that a restart may repair
  2    the command line is wrong
  130  Ctrl-C, except for run"""


class Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and without the base's usage."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output is gone (`| head`); the interpreter would complain about it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _parser() -> Parser:
    about = "Runs Leaderboards on Kubernetes."
    parser = Parser(prog="leaderboard-operator", description=about, epilog=EXIT_CODES)
    parser.add_argument("-V", "--version", action="version", version=f"leaderboard-operator {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    crd = commands.add_parser("crd", help="print the CustomResourceDefinition as YAML")
    crd.set_defaults(run=_crd)
    rules = commands.add_parser("rules", help="print the rules of Leaderboards as a file for Prometheus")
    rules.add_argument("--fleet", action="store_true", help="those about the fleet and the operator instead")
    _add_routing(rules)
    rules.set_defaults(run=_rules)
    run = commands.add_parser("run", help="run the operator; KUBECONFIG says on which cluster, else the pod it is in")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--namespace", action="append", metavar="NS", help="a namespace to watch; may be repeated")
    where.add_argument("--all-namespaces", action="store_true", help="watch all namespaces (the default)")
    run.add_argument("--app-image", default="", metavar="IMAGE", help="image of Leaderboards that name none")
    _add_routing(run)
    run.add_argument(
        "--monitoring-label",
        action="append",
        type=_label,
        metavar="NAME=VALUE",
        help="a label by which the Prometheus operator selects ServiceMonitors and PrometheusRules; may be repeated",
    )
    run.add_argument(
        "--max-concurrent-rollouts",
        type=int,
        default=5,
        metavar="N",
        help="Leaderboards whose pods a newer operator replaces at the same time (5); 0 is all",
    )
    run.add_argument("--lease", default="leaderboard-operator", metavar="NAME", help="name of the lease of the leader")
    run.add_argument(
        "--host", default="::", help="address of metrics and probes; ::, the default, is all of IPv6 and IPv4"
    )
    run.add_argument("--log-level", choices=LEVELS, default="info", help="least severe level to log (info)")
    run.add_argument(
        "--log-format",
        choices=FORMATS,
        default="auto",
        help="form of a log line; auto, the default, is text on a terminal and json elsewhere",
    )
    run.add_argument("--metrics-port", type=int, default=8080, help="port of /metrics (8080); 0 picks a free one")
    run.add_argument("--health-port", type=int, default=8081, help="port of /healthz and /readyz (8081)")
    run.set_defaults(run=_run)
    described = commands.add_parser("help", help="describe a command")
    names = list(commands.choices)
    described.add_argument("command", nargs="?", choices=names, metavar="COMMAND", help="default: list the commands")
    described.set_defaults(run=lambda options: _help(commands.choices.get(options.command, parser)))
    return parser


def _add_routing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runbook-url", default="", metavar="URL", help=RUNBOOK_URL)
    parser.add_argument("--grafana-url", default="", metavar="URL", help=GRAFANA_URL)
    parser.add_argument("--severity", action="append", type=_severity, metavar="NAME=VALUE", help=SEVERITY)
    parser.add_argument("--alert-label", action="append", type=_label, metavar="NAME=VALUE", help=ALERT_LABEL)


def _routing(options: argparse.Namespace) -> Routing:
    return Routing(
        runbooks=options.runbook_url,
        grafana=options.grafana_url,
        severities=dict(options.severity or ()),
        labels=dict(options.alert_label or ()),
    )


def _severity(text: str) -> tuple[str, str]:
    name, value = _label(text)
    if name not in get_args(Severity):
        raise argparse.ArgumentTypeError(f"{name!r} is neither page nor ticket")
    return name, value


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _rules(options: argparse.Namespace) -> int:
    from leaderboard_operator.monitoring import document

    sys.stdout.write((document.fleet if options.fleet else document.boards)(_routing(options)))
    return 0


def _crd(_options: argparse.Namespace) -> int:
    from leaderboard_operator.spec.crd import document

    sys.stdout.write(document())
    return 0


def _run(options: argparse.Namespace) -> int:
    from leaderboard_operator import run
    from leaderboard_operator.lease import LeaseLost
    from leaderboard_operator.reconcile import Defaults

    configure(options.log_level, options.log_format)
    chosen = run.Options(
        namespaces=tuple(options.namespace or ()),
        defaults=Defaults(
            app_image=options.app_image or f"leaderboard:{VERSION}",
            monitoring_labels=dict(options.monitoring_label or ()),
            routing=_routing(options),
            max_rollouts=options.max_concurrent_rollouts,
        ),
        lease=options.lease,
        host=options.host,
        metrics_port=options.metrics_port,
        health_port=options.health_port,
    )
    code = 0
    try:
        asyncio.run(run.main(chosen))
    except* LeaseLost as lost:
        log.error("%s; this process ends, to be started anew", lost.exceptions[0])
        code = FAILED
    except* Exception as failed:
        log.critical("an error ends this process, to be started anew", exc_info=failed)
        code = FAILED
    return code
