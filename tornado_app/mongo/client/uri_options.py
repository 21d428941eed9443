"""The options of `mongodb_uri` that the service does not use, or warns of."""

from __future__ import annotations

import logging
import re
from typing import NamedTuple

from pymongo.uri_parser import split_options

log = logging.getLogger("leaderboard.database")


class Override(NamedTuple):
    """The service's behavior instead of a URI option. `same`: values of the option that agree with it."""

    same: tuple[str, ...]
    instead: str


_READS = "every read goes to the primary, at read concern majority"
_WRITES = "a majority of the members acknowledges and journals every write"
_REPEATED = "the driver repeats an operation that a failover interrupted"
_BOUNDED = "the setting mongodb_timeout bounds every operation"
_DECODED = "the service decodes every document in the same way"

OVERRIDDEN = {
    "readpreference": Override(("primary",), _READS),
    "readpreferencetags": Override((), _READS),
    "maxstalenessseconds": Override(("-1",), _READS),
    "readconcernlevel": Override(("majority",), _READS),
    "w": Override(("majority",), _WRITES),
    "journal": Override(("true",), _WRITES),
    "fsync": Override((), _WRITES),
    "wtimeoutms": Override((), _BOUNDED),
    "retrywrites": Override(("true",), _REPEATED),
    "retryreads": Override(("true",), _REPEATED),
    "timeoutms": Override((), _BOUNDED),
    "sockettimeoutms": Override((), _BOUNDED),
    "waitqueuetimeoutms": Override((), _BOUNDED),
    "connecttimeoutms": Override((), _BOUNDED),
    "serverselectiontimeoutms": Override((), _BOUNDED),
    "tz_aware": Override(("true",), _DECODED),
    "datetime_conversion": Override((), _DECODED),
    "unicode_decode_error_handler": Override((), _DECODED),
    "uuidrepresentation": Override(("unspecified",), _DECODED),
}
"""URI options that are not passed to the driver, by name in lower case. With them, a score could be lost, count twice
or be read from a member that lags, the change stream could end, or documents of other programs could be unreadable."""

_UNSAFE_TLS = Override(("false",), "an attacker on the network path can read and change the scores")
REPORTED = dict.fromkeys(("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"), _UNSAFE_TLS)
"""URI options that are used as given, with their risk."""


def split_uri(uri: str) -> tuple[str, list[tuple[str, str]]]:
    """The URI without its options, and the options.

    Raises PyMongo's error for a wrong value; warns of an unknown option.
    """
    address, _, query = uri.partition("?")
    if not query:
        return address, []
    try:
        split_options(query, warn=True)
    except KeyError as error:  # PyMongo's error for a datetime_conversion
        raise ValueError(f"an option has the value {error}, which the driver does not know") from None
    pairs = (option.partition("=") for option in re.split("[&;]", query))
    return address, [(name, value) for name, _, value in pairs]


def report_option(name: str, value: str) -> None:
    """Log an option that is not used, or that is unsafe."""
    overridden, reported = OVERRIDDEN.get(name.lower()), REPORTED.get(name.lower())
    if overridden is not None and value.lower() not in overridden.same:
        log.warning("mongodb_uri: %s=%s is not used: %s", name, value, overridden.instead)
    if reported is not None and value.lower() not in reported.same:
        log.warning("mongodb_uri: %s=%s: %s", name, value, reported.instead)
