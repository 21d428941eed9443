"""Install packages with uv, with the index settings of pip, which uv does not read. The Makefile runs this in its venv.

    python .ci/install.py --editable '.[dev,operator]'

pip itself installs them where uv cannot be installed, fails, or has no equivalent of one of pip's settings.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

CONSTRAINTS = ("--constraint", "constraints.txt")
PIP = (sys.executable, "-m", "pip")
QUIET = ("--quiet", "--disable-pip-version-check")
VARIABLES = {  # the setting of pip: the variable of uv, and what separates several values in it
    "cert": ("SSL_CERT_FILE", ""),
    "client-cert": ("SSL_CLIENT_CERT", ""),
    "default-timeout": ("UV_HTTP_TIMEOUT", ""),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", ""),
    "no-index": ("UV_NO_INDEX", ""),
    "proxy": ("ALL_PROXY", ""),
    "timeout": ("UV_HTTP_TIMEOUT", ""),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
WITHOUT_EFFECT = {  # on which packages are installed, and from where
    "cache-dir",
    "config-file",
    "disable-pip-version-check",
    "no-cache-dir",
    "no-color",
    "no-input",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "retries",
    "root-user-action",
    "verbose",
}
SECTIONS = ("global", "install", ":env:")
"""The sections that `pip install` reads; a later one has precedence."""


def pip_settings(listing: str) -> dict[str, str]:
    """The settings of `pip install` from the output of `pip config list`."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = ast.literal_eval(value)
    return {name: value for section in SECTIONS for name, value in found[section].items()}


def uv_environment(settings: dict[str, str]) -> dict[str, str] | None:
    """The variables with which uv does what these settings of pip say; None if there is no equivalent."""
    if settings.keys() - VARIABLES.keys() - WITHOUT_EFFECT:
        return None
    # As pip does: the newest version of all indexes, and the certificates of the system.
    made = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"}
    for name, value in settings.items():
        if name in VARIABLES:
            variable, separator = VARIABLES[name]
            made[variable] = separator.join(value.split()) if separator else value
    return made


def with_uv(arguments: list[str]) -> bool:
    """Whether uv installed them."""
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    environment = uv_environment(pip_settings(listing))
    if environment is None:
        return False
    if subprocess.run([*PIP, "install", *QUIET, *CONSTRAINTS, "uv"], check=False).returncode != 0:
        return False
    for_uv = {name: value for name, value in os.environ.items() if name.startswith("UV_")}  # they have precedence
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, *CONSTRAINTS]
    return subprocess.run([*command, *arguments], env=os.environ | environment | for_uv, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    if with_uv(arguments):
        return 0
    print("Installing with pip instead of uv; this takes longer")
    return subprocess.run([*PIP, "install", *QUIET, *CONSTRAINTS, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
