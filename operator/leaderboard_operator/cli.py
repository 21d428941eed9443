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
from leaderboard_operator.monitoring.rule_types import Routing, Severity

log = logging.getLogger(__name__)

RUNBOOK_URL = "URL of the folder with the pages of docs/runbooks/, for links in alerts"
GRAFANA_URL = "URL of the Grafana with the dashboards, for links in alerts"
SEVERITY = "value of the label severity for pages or tickets, such as page=critical; repeatable"
ALERT_LABEL = "label of all alerts, such as team=games; repeatable"

FAILED, INTERRUPTED = 1, 130
"""Exit codes for errors and for Ctrl-C (128 + SIGINT). argparse exits with 2 if the command line is invalid."""

EXIT_CODES = """exit codes:
  0    success; run: stopped by SIGTERM or Ctrl-C
  1    error; run: the lease was lost, or an error that a restart may resolve
  2    the command line is invalid
  130  Ctrl-C, except for run"""


class Parser(argparse.ArgumentParser):
    """Reports an invalid command line in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2, without the usage."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has exited (`| head`). Without this the interpreter would report it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _parser() -> Parser:
    parser = Parser(prog="leaderboard-operator", description="Run Leaderboards on Kubernetes.", epilog=EXIT_CODES)
    parser.add_argument("-V", "--version", action="version", version=f"leaderboard-operator {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    crd = commands.add_parser("crd", help="print the CustomResourceDefinition as YAML")
    crd.set_defaults(run=_crd)
    rules = commands.add_parser("rules", help="print a rule file for Prometheus")
    rules.add_argument(
        "--fleet", action="store_true", help="print the rules about the operator and all Leaderboards instead"
    )
    _add_routing(rules)
    rules.set_defaults(run=_rules)
    run = commands.add_parser(
        "run", help="run the operator, on the cluster of KUBECONFIG, otherwise on that of its pod"
    )
    scope = run.add_mutually_exclusive_group()
    scope.add_argument("--namespace", action="append", metavar="NS", help="namespace to watch; repeatable")
    scope.add_argument("--all-namespaces", action="store_true", help="watch all namespaces (the default)")
    run.add_argument("--app-image", default="", metavar="IMAGE", help="image of Leaderboards without spec.image")
    _add_routing(run)
    run.add_argument(
        "--monitoring-label",
        action="append",
        type=_label,
        metavar="NAME=VALUE",
        help="label by which Prometheus selects ServiceMonitors and PrometheusRules; repeatable",
    )
    run.add_argument(
        "--max-concurrent-rollouts",
        type=int,
        default=5,
        metavar="N",
        help="maximum number of Leaderboards whose pods an upgrade replaces at the same time (5); 0 is all",
    )
    run.add_argument(
        "--lease", default="leaderboard-operator", metavar="NAME", help="name of the Lease for leader election"
    )
    run.add_argument(
        "--host", default="::", help="address of metrics and probes; the default, ::, is all addresses of IPv6 and IPv4"
    )
    run.add_argument("--log-level", choices=LEVELS, default="info", help="minimum level of log lines (info)")
    run.add_argument(
        "--log-format",
        choices=FORMATS,
        default="auto",
        help="format of log lines; the default, auto, is text on a terminal, otherwise json",
    )
    run.add_argument("--metrics-port", type=int, default=8080, help="port of /metrics (8080); 0 picks a free port")
    run.add_argument("--health-port", type=int, default=8081, help="port of /healthz and /readyz (8081)")
    run.set_defaults(run=_run)
    help_ = commands.add_parser("help", help="describe a command")
    names = list(commands.choices)
    help_.add_argument("command", nargs="?", choices=names, metavar="COMMAND", help="if omitted, list the commands")
    help_.set_defaults(run=lambda options: _help(commands.choices.get(options.command, parser)))
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
    from leaderboard_operator.monitoring.fleet_alerts import fleet_rules_file
    from leaderboard_operator.monitoring.leaderboard_alerts import leaderboard_rules_file

    sys.stdout.write((fleet_rules_file if options.fleet else leaderboard_rules_file)(_routing(options)))
    return 0


def _crd(_options: argparse.Namespace) -> int:
    from leaderboard_operator.spec.crd import crd_yaml

    sys.stdout.write(crd_yaml())
    return 0


def _run(options: argparse.Namespace) -> int:
    from leaderboard_operator import run
    from leaderboard_operator.lease import LeaseLost
    from leaderboard_operator.reconcile import Defaults

    configure(options.log_level, options.log_format)
    run_options = run.Options(
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
        asyncio.run(run.main(run_options))
    except* LeaseLost as lost:
        log.error("%s, this process exits and must be restarted", lost.exceptions[0])
        code = FAILED
    except* Exception as failed:
        log.critical("this process exits because of an error and must be restarted", exc_info=failed)
        code = FAILED
    return code
