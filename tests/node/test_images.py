"""The images of the Dockerfile: their content; they run as any user on a read-only root."""

from __future__ import annotations

import os
import stat
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.support.chart import example
from tests.support.images import Container
from tests.support.kubernetes import make_namespace
from tests.support.operator import Installation, install_crd
from tests.support.service import KEY, token
from tests.support.wait import wait_until
from tornado_app import __version__
from tornado_app.mongo.embedded.mongod import free_port

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

TARGETS = {"app": "leaderboard", "operator": "leaderboard-operator"}
USER = 65532


@pytest.fixture(scope="module", params=TARGETS)
def image(request, images):
    """Name and files of each image in turn."""
    name = images.build(request.param)
    with images.files(name) as root:
        yield request.param, images.config(name), root


@pytest.fixture
def start(images, tmp_path):
    """Starts a target in a container; returns once it is `ready`."""
    with ExitStack() as stack:

        def run(target, arguments, ready, **options) -> Container:
            name = images.build(target)
            root = stack.enter_context(images.files(name))
            container = Container(root, images.config(name), arguments, tmp_path, ready, **options)
            stack.callback(container.close)
            container.start()
            return container

        yield run


def test_image_runs_its_command_as_a_numeric_user(image):
    target, config, _ = image
    assert (config["User"], config["Entrypoint"]) == (f"{USER}:{USER}", [TARGETS[target]])


def test_image_has_no_database_no_pip_and_no_writable_files(image):
    target, _, root = image
    commands = {path.name for path in (root / "opt" / "leaderboard" / "bin").iterdir()}
    assert TARGETS[target] in commands
    found = [path for path in (root / "opt").rglob("*") if not path.is_symlink()]
    assert not [path for path in found if path.name in ("mongod", "pip", "fiftyone", "motor")]
    assert not [path for path in found if path.stat().st_mode & stat.S_IWOTH or path.stat().st_uid == USER]


def test_service_image_has_the_tracing_extra(images):
    with images.files(images.build("app")) as root:
        assert list(root.glob("opt/leaderboard/lib/python3*/site-packages/opentelemetry/exporter/otlp/proto/http"))


def answer(url: str, **options) -> str | None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=10) as found:
            return found.read().decode()
    except (URLError, ConnectionError):
        return None


def status_of(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_service_image_runs_restricted_with_a_read_only_root(start, mongo_database, tmp_path):
    uri, database = mongo_database
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o755)
    for name, text in (("uri", uri), ("key", KEY)):
        (secrets / name).write_text(text)
    port, metrics = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    flags = [f"--port={port}", f"--metrics-port={metrics}", f"--mongodb-database={database}"]
    files = ["--mongodb-uri-file=/run/secrets/uri", "--jwt-key-file=/run/secrets/key", "--action-proof=off"]
    container = start(
        "app", ["serve", *flags, *files], lambda: answer(f"{url}/readyz") is not None, mounts={"/run/secrets": secrets}
    )
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    assert '"score":5' in answer(f"{url}/api/score", data=b'{"score": 5}', headers=headers)
    status = status_of(container.pid)
    assert status["Uid"].split("\t") == [str(USER)] * 4
    assert int(status["CapEff"], 16) == 0
    assert container.terminate() == 0, container.log


def test_operator_image_runs_restricted_with_a_read_only_root(start, cluster, namespace):
    install_crd(cluster)
    home = f"{namespace}-operator"
    make_namespace(cluster, home)
    port = free_port()
    with Installation(cluster, home) as installed:
        config = cluster.kubeconfig_of("lb-leaderboard-operator", home)
        os.chown(config, USER, USER)
        start(
            "operator",
            [*installed.arguments, "--host=127.0.0.1", f"--metrics-port={port}", "--health-port=0"],
            lambda: answer(f"http://127.0.0.1:{port}/healthz") == "ok",
            env={"KUBECONFIG": "/run/kubeconfig"},
            mounts={"/run/kubeconfig": config},
        )
        cluster.kubectl("create", "secret", "generic", "arcade-jwt", "--from-literal=key=k", "-n", namespace)
        cluster.kubectl("create", "secret", "generic", "arcade-proof", "--from-literal=key=p", "-n", namespace)
        uri = "--from-literal=uri=mongodb://db.example/?replicaSet=rs0"
        cluster.kubectl("create", "secret", "generic", "arcade-mongo", uri, "-n", namespace)
        cluster.apply(example("minimal"), namespace=namespace)
        deployment = wait_until(lambda: cluster.get("deployment", "arcade", namespace), 30, "the Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"leaderboard-app:{__version__}"
    cluster.kubectl("delete", "namespace", home, "--wait=false")
