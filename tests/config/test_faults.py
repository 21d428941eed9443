"""All configuration errors are reported at once, with remedies and without secrets."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tornado_app.auth.proofs import LEEWAY
from tornado_app.config import SETTINGS, load_config, warnings
from tornado_app.core.errors import ConfigError
from tornado_app.core.policies import RateLimit

SECRET = "correct-horse-battery-staple-0123456789"
PROOF = {"LEADERBOARD_PROOF_KEY": "another-horse-another-battery-9876543210"}
KEYS = {"LEADERBOARD_JWT_KEY": SECRET, **PROOF}
FILE = "config (--config): c.yaml"
URI = "mongodb://db.example/?replicaSet=rs0"


def faults(flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(flags or {}, environ or {})
    return caught.value.faults


def fault(flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> str:
    (only,) = faults(flags, environ)
    return only


def from_file(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return [line.replace(str(path), "c.yaml") for line in faults({"config": str(path)})]


def test_config_errors_are_all_reported_at_once(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("log_level: loud\nnonsense: 1\n")
    found = faults(
        {"config": str(path), "port": "80000"},
        {"LEADERBOARD_RATE_LIMIT": "often", "LEADERBOARD_HSOT": "x", "LEADERBOARD_TLS_CERT_FILE": "/c.pem"},
    )
    assert [line.split(" ")[0] for line in found] == [
        "port", "rate_limit", "log_level", "LEADERBOARD_HSOT", '"nonsense"', "tls_cert_file",
    ]  # fmt: skip
    assert all("\n" not in line for line in found)


def test_config_error_names_setting_source_value_and_expected_value(tmp_path: Path):
    assert fault({"port": "http"}) == 'port (--port): "http" is not a whole number of 0 to 65535'
    assert fault({}, {"LEADERBOARD_PORT": "-1"}).startswith('port (LEADERBOARD_PORT): "-1" is not')
    assert from_file(tmp_path, "host: a\nport: true") == [
        "port (c.yaml, line 2): true is not a whole number of 0 to 65535"
    ]


@pytest.mark.parametrize(
    ("environ", "question"),
    [
        ({"LEADERBOARD_RATELIMIT": "x"}, "did you mean LEADERBOARD_RATE_LIMIT?"),
        ({"LEADERBOARD_JWT_SECRET_KEY": "x"}, "did you mean LEADERBOARD_JWT_KEY?"),
        ({"LEADERBOARD_QQQ": "x"}, "unset it"),
    ],
)
def test_unknown_variable_is_reported_with_a_suggestion(environ, question):
    assert fault({}, environ).endswith(question)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate-limit: 5/s", '"rate-limit" (c.yaml, line 1): there is no such setting; did you mean rate_limit?'),
        ("Port: 1", '"Port" (c.yaml, line 1): there is no such setting; did you mean port?'),
        ("config: other.yaml", '"config" (c.yaml, line 1): there is no such setting; take it out'),
        ("1: 2", "1 (c.yaml): there is no such setting; take it out"),
        ("port:", "port (c.yaml, line 1): the value is empty; set a value, or omit the setting to use its default"),
        (
            "jwt_admin_scopes: 114002",
            "jwt_admin_scopes (c.yaml, line 1): 114002 is not a list of texts separated by commas; put it in quotes",
        ),
        (
            "jwt_audience: [a, 7]",
            'jwt_audience (c.yaml, line 1): ["a", 7] is not a list of texts separated by commas; put it in quotes',
        ),
        (
            "jwt_audience: [a, [b]]",
            'jwt_audience (c.yaml, line 1): ["a", ["b"]] is not a list of texts separated by commas',
        ),
        ("jwt_issuer: 5", "jwt_issuer (c.yaml, line 1): 5 is not text without control characters; put it in quotes"),
        ("log_level: off", "log_level (c.yaml, line 1): false is not one of debug, info, warning, error"),
        ("auto_register: 1", "auto_register (c.yaml, line 1): 1 is not true or false; put it in quotes"),
        ("port: 1\nport: 2", f"{FILE}, line 2, column 1, is not valid YAML: duplicate key"),
        ("a:\n\tport: 1", f"{FILE}, line 2, column 1, is not valid YAML: it has a tab; use spaces"),
        ("- port", f"{FILE} is not a mapping, lines of the form `name: value`"),
    ],
)  # fmt: skip
def test_config_file_is_read_strictly(tmp_path: Path, text: str, expected: str):
    assert from_file(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    "text", ["a: [", "a: *nothing", "a: !!python/object:os.system x", "a: 1\n\tb: 2", "a: \x01", "{" * 5000]
)
def test_invalid_yaml_is_one_error(tmp_path: Path, text: str):
    (only,) = from_file(tmp_path, text)
    assert only.startswith("config (--config): c.yaml")
    assert "is not valid YAML" in only


def test_unreadable_file_is_an_error(tmp_path: Path):
    assert fault({"config": "/no/such.yaml"}).endswith("/no/such.yaml cannot be read: No such file or directory")
    assert fault({"config": str(tmp_path)}).endswith("cannot be read: Is a directory")
    (tmp_path / "latin").write_bytes(b"host: \xe9")
    assert fault({"config": str(tmp_path / "latin")}).endswith("latin is not text in UTF-8")
    (tmp_path / "huge").write_bytes(b"#" * (1 << 20) + b"#")
    assert fault({"config": str(tmp_path / "huge")}).endswith("is larger than 1 MiB")


MAY_BE_EMPTY = (
    "allowed_origins", "allowed_hosts", "trusted_proxies", "jwt_audience",
    "jwt_name_claims", "jwt_write_scopes", "jwt_admin_scopes",
)  # fmt: skip


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.name not in MAY_BE_EMPTY], ids=lambda s: s.name)
def test_empty_value_is_an_error(setting):
    assert "the value is empty" in fault({}, {setting.variable: ""})


def test_config_error_does_not_show_a_secret(tmp_path: Path):
    hidden = "hunter22"
    secret = tmp_path / "secret"
    secret.write_text(f"{hidden}://u:{hidden}@h")
    for flags, environ in (
        ({"mongodb_uri": f"mongo://u:{hidden}@h"}, {}),
        ({"mongodb_uri": f"mongodb://u:{hidden} @h"}, {}),
        ({"mongodb_uri": f"mongodb://{hidden}:h:x"}, {}),
        ({"mongodb_uri_file": str(secret), "jwt_key_file": str(secret)}, {}),
        ({}, {"LEADERBOARD_JWT_KEY": f"{hidden}\x00"}),
        ({}, {"LEADERBOARD_JWT_KEY": hidden}),
        ({"mongodb_uri": URI}, {"LEADERBOARD_JWT_KEY": f"{hidden}\udc80"}),
        ({}, {"LEADERBOARD_PROOF_KEY": hidden}),
        ({"proof_key_file": str(secret), "proof_jwks_file": str(secret), "captcha_secret_file": str(secret)}, {}),
        ({"proof_jwks_file": str(secret)}, {}),
        ({}, {"LEADERBOARD_JWT_KEY": hidden * 8, "LEADERBOARD_PROOF_KEY": hidden * 8}),
        ({}, {"LEADERBOARD_CAPTCHA_SECRET": hidden}),
        ({}, {"LEADERBOARD_JWT_KEYS": hidden}),
    ):
        assert hidden not in "\n".join(faults(flags, environ))
    for text in (f"jwt_key: *{hidden}", f"jwt_key: '{hidden}", f"jwt_key: !{hidden} x", f"mongodb_uri: {{{hidden}: 1}}",
                 f"jwt_key: \"{hidden}\\q\"", f"jwt_kee: {hidden}", f"? {hidden} : [\n  {hidden}"):  # fmt: skip
        assert hidden not in "\n".join(from_file(tmp_path, text))


def test_invalid_value_is_quoted_on_one_line_and_truncated():
    assert '"a\\nb\\u001b[2J"' in fault({"host": "a\nb\x1b[2J"})
    assert len(fault({"host": "a/" * 5000})) < 250


def test_tls_requires_both_files(tmp_path: Path):
    assert (
        fault({"tls_cert_file": "/c"}) == "tls_cert_file (--tls-cert-file): tls_key_file is missing; HTTPS needs both"
    )
    assert fault({"tls_key_file": "/c"}) == "tls_key_file (--tls-key-file): tls_cert_file is missing; HTTPS needs both"
    assert "/c cannot be read: No such file" in fault({"tls_cert_file": "/c", "tls_key_file": "/c"})


def test_external_database_requires_a_key(tmp_path: Path):
    uri = tmp_path / "uri"
    uri.write_text(URI)
    for flags in ({"mongodb_uri": URI}, {"mongodb_uri_file": str(uri)}):
        assert "LEADERBOARD_JWT_KEY" in fault(flags, PROOF)
        assert "LEADERBOARD_JWT_JWKS_URL" in fault(flags, PROOF)
        assert fault(flags, PROOF).startswith("jwt_key: it is missing")
        assert [line.partition(":")[0] for line in faults(flags)] == ["jwt_key", "proof_key"]
    assert not load_config({"mongodb_uri": URI}, KEYS).embedded


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_public_key_algorithms_always_require_a_key(algorithm):
    assert f"{algorithm} needs one; set LEADERBOARD_JWT_KEY to the public key" in fault({"jwt_algorithm": algorithm})


def test_invalid_key_is_not_also_reported_as_missing():
    assert fault({"mongodb_uri": URI}, {**PROOF, "LEADERBOARD_JWT_KEY": "short"}).startswith(
        "jwt_key (LEADERBOARD_JWT_KEY): The sec"
    )
    assert fault({"mongodb_uri": URI}, {**KEYS, "LEADERBOARD_PROOF_KEY": "short"}).startswith(
        "proof_key (LEADERBOARD_PROOF_KEY): The sec"
    )
    assert len(faults({"mongodb_uri": "nonsense"})) == 1


def test_setting_of_an_unreadable_file_is_not_reported_as_missing():
    assert "/no/such.yaml" in fault({"config": "/no/such.yaml", "mongodb_uri": URI, "tls_cert_file": "/c"})


def test_key_that_does_not_fit_the_algorithm_is_an_error():
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    environ = {"LEADERBOARD_JWT_KEY": pem}
    assert "everyone with the public key could sign" in fault({}, environ)
    assert fault({"jwt_algorithm": "RS256"}, environ).endswith("it holds a key for ES256, and jwt_algorithm is RS256")
    assert load_config({"jwt_algorithm": "ES256"}, environ).jwt_key == pem
    assert "PEM" in fault({"jwt_algorithm": "ES256"}, {"LEADERBOARD_JWT_KEY": SECRET})


def test_secret_given_twice_is_an_error(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    found = faults({"jwt_key_file": str(path)}, {"LEADERBOARD_JWT_KEY": SECRET})
    assert found == ["jwt_key_file (--jwt-key-file): jwt_key is set too; set only one of them"]


def test_secret_file_without_a_usable_secret_is_an_error(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("\n")
    assert fault({"jwt_key_file": str(path)}).endswith(f"{path}: The file is empty; write the key into it.")
    environ = KEYS
    path.write_text("localhost:27017")
    assert "does not contain a MongoDB connection string" in fault({"mongodb_uri_file": str(path)}, environ)
    assert "No such file" in fault({"mongodb_uri_file": str(tmp_path / "gone")}, environ)


def test_metrics_port_equal_to_the_service_port_is_an_error():
    assert fault({"port": "9", "metrics_port": "9"}).startswith(
        "metrics_port (--metrics-port): 9 is the port of the service"
    )
    assert fault({"port": "9", "metrics_port": "9", "host": "0.0.0.0", "metrics_host": "10.0.0.1"})
    assert load_config({"port": "9", "metrics_port": "9", "metrics_host": "10.0.0.1"}, {}).metrics_port == 9
    assert load_config({"port": "0", "metrics_port": "0"}, {}).port == 0


@pytest.mark.parametrize(
    ("rate", "lifetime"),
    [("100/1s", 60), ("2000/1h", 60), ("10/100ms", 60), ("1/10ms", 60), ("1001/24h", 1), ("1001/1m", 60)],
)
def test_history_beyond_its_maximum_is_an_error_with_the_maximum(rate: str, lifetime: int):
    text = fault({"rate_limit": rate, "proof_lifetime": f"{lifetime}s"})
    assert "2000 is the most" in text
    allowed = [word.rstrip(";") for word in text.split("at most ")[1:]]
    for hint in allowed:
        value = hint.split(" ")[0]
        changed = {"rate_limit": value} if "/" in value else {"proof_lifetime": value}
        config = load_config({"rate_limit": rate, "proof_lifetime": f"{lifetime}s", **changed}, {})
        if "/" in value:
            more = RateLimit(config.rate_limit.updates + 1, config.rate_limit.window)
            assert more.idempotency_history_size(lifetime + LEEWAY) > 2000


def test_data_folder_that_is_a_file_is_an_error(tmp_path: Path):
    path = tmp_path / "file"
    path.touch()
    assert fault({"data_dir": str(path)}).endswith("file is not a folder; name another")


def test_invalid_actions_are_reported_each(tmp_path: Path):
    table = tmp_path / "a.yaml"
    table.write_text(
        f"ok: 1\nwith space: 1\n{'x' * 65}: 1\n7: 1\nzero: 0\n"
        "bool: true\nfloat: 1.0\nhuge: 9223372036854775808\ntext: '5'\n"
    )
    found = faults({"actions_file": str(table)})
    assert [line.split(", line ")[1][0] for line in found] == list("23456789")
    assert all(line.startswith("actions_file (--actions-file): ") for line in found)
    table.write_text("a: 1\na: 2\n")
    assert "duplicate key" in fault({"actions_file": str(table)})
    table.write_text("")
    assert "contains no action" in fault({"actions_file": str(table)})
    assert "No such file" in fault({"actions_file": str(tmp_path / "gone")})


def test_password_in_a_flag_is_allowed_with_a_warning():
    (warning,) = warnings(load_config({"mongodb_uri": "mongodb://u:p@db"}, KEYS))
    assert "--mongodb-uri-file" in warning
    assert not list(warnings(load_config({"mongodb_uri": URI}, KEYS)))
    assert not list(warnings(load_config({}, {**KEYS, "LEADERBOARD_MONGODB_URI": "mongodb://u:p@db"})))


@pytest.mark.parametrize("size", ["1", "2", "9"])
@pytest.mark.parametrize("option", ["maxPoolSize", "maxpoolsize"])
def test_pool_that_is_too_small_is_an_error_with_the_reason(tmp_path: Path, option: str, size: str):
    uri = f"{URI}&{option}={size}"
    path = tmp_path / "uri"
    path.write_text(uri)
    for name, value in (("mongodb_uri", uri), ("mongodb_uri_file", str(path))):
        text = fault({name: value}, KEYS)
        assert text.startswith(name)
        assert f"maxPoolSize={size} is too small: the change stream keeps one connection busy" in text
        assert "set at least 10" in text


@pytest.mark.parametrize("size", ["0", "10", "100"])
def test_pool_that_is_large_enough_or_unbounded_is_accepted(size: str):
    load_config({"mongodb_uri": f"{URI}&maxPoolSize={size}"}, KEYS)


@pytest.mark.parametrize(
    ("rate", "lifetime", "most"),
    [("10/1m", "60s", "90s"), ("10/1s", "1s", "6s"), ("10/10s", "60s", "70s"), ("10/1500ms", "1s", "6s")],
)
def test_database_timeout_beyond_the_id_history_is_an_error(rate: str, lifetime: str, most: str):
    given = {"rate_limit": rate, "proof_lifetime": lifetime}
    assert load_config({**given, "mongodb_timeout": most}, {}).mongodb_timeout
    text = fault({**given, "mongodb_timeout": f"{float(most[:-1]) + 0.01}s"})
    assert text.startswith("mongodb_timeout")
    assert f"could count twice; give at most {most}, or a longer proof_lifetime" in text
    load_config({**given, "mongodb_timeout": f"{float(most[:-1]) + 0.01}s", "proof_lifetime": "150s"}, {})
