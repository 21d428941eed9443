"""An invalid mongodb_uri is refused with the reason, and without the password."""

import pytest

from tests.support.drivers import BOTH_DRIVERS
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight

SECRET = "hunter2"

both_drivers = pytest.mark.parametrize("driver", BOTH_DRIVERS)


@both_drivers
@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("", "Empty host"),
        ("mongodb://", "at least one hostname"),
        ("mongodb://h:99999/", "Port must be an integer between 0 and 65535"),
        ("mongodb://h:1/?replicaSett=rs0", "Unknown option: replicasett. Did you mean one of (replicaset,"),
        ("mongodb://h:1/?tls=maybe", "'true' or 'false'"),
        ("mongodb://h:1/?connectTimeoutMS=soon", "must be an integer or float"),
        ("mongodb://h:1/?readPreference=best", "is not a valid read preference"),
        ("mongodb://h:1/?datetime_conversion=maybe", "'maybe'"),
        ("mongodb://h:1/?w=-1", "must be a non negative integer"),
        ("mongodb://h:1/?tls=true&tlsCAFile=/no/such/file", "No such file or directory"),
        (f"mongodb://zoe:{SECRET}@more@h:1/", "must be escaped"),
        (f"mongodb://zoe:1/{SECRET}@h:1/", "%2F"),
        (f"mongodb://zoe:{SECRET}/1@h:1/", ""),
        (f"mongodb://zoe:{SECRET}%zz@h:1/", ""),
    ],
)
def test_invalid_uri_is_refused_without_its_password(driver, uri, text):
    with pytest.raises(StartupError, match="mongodb_uri cannot be used") as caught:
        preflight.open_client(uri, driver, 1.0)
    assert text in str(caught.value)
    assert "It looks like mongodb://user:password@host:27017/?replicaSet=name" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_deprecated_uri_option_is_accepted(recwarn):
    preflight.open_client("mongodb://127.0.0.1:1/?ssl=false&w=1", "pymongo", 1.0)


@pytest.mark.parametrize(
    "text",
    [
        f"mongodb://zoe:{SECRET}@host/?x=1",
        f"see mongodb+srv://zoe:{SECRET}@with@more@host/",
        f"one mongodb://zoe:{SECRET}@a/ two mongodb://zoe:{SECRET}@b/",
    ],
)
def test_redact_removes_every_password(text):
    assert SECRET not in preflight.redact(text)
    assert "***@" in preflight.redact(text)
