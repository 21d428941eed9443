"""A real Kubernetes control plane, alone or with one fake node that reports all pods as running."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.build import find
from tests.support.pki import Authority, base64_of, write_key
from tests.support.program import Program
from tornado_app.mongo.embedded.mongod import free_port

HOST = "127.0.0.1"
SERVICES, API_SERVICE = "10.96.0.0/16", "10.96.0.1"
"""Addresses of Services, and the one that the API server has among them, for pods."""
KUBECTL_SECONDS = 60
FAKE_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "fake",
        "annotations": {"kwok.x-k8s.io/node": "fake"},
        "labels": {"kubernetes.io/os": "linux"},
    },
    "status": {key: {"cpu": "1k", "memory": "4Ti", "pods": "5k"} for key in ("allocatable", "capacity")},
}
KEY_PAIR = {"certificate": "crt", "key": "key"}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
"""Requests of a test's ServiceAccounts are recorded; those of the cluster's own programs and of the test are not."""


class ControlPlane:
    """etcd, API server, controller manager, scheduler; a context manager. RBAC and Pod Security are enforced.

    `address`: where the API server is reached. A test that stops it kills it: in order it would end only once each of
    its watches has.
    """

    def __init__(self, address: str = HOST) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leaderboard-cluster-"))
        self.url = f"https://{address}:{free_port()}"
        self.authority = Authority(self.folder, "ca")
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self._make_files()
        self._tls = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        self._tls.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        self.etcd = self._etcd()
        self.apiserver = self._apiserver()
        self.controllers = self._controller("kube-controller-manager")
        self.scheduler = self._controller("kube-scheduler")

    @property
    def programs(self) -> list[Program]:
        """In the order that they start in; the first two are needed by the rest."""
        return [self.etcd, self.apiserver, self.controllers, self.scheduler]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self.programs):
            each.close()
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        for each in self.programs[:2]:
            each.start()
        for each in self.programs[2:]:
            each.spawn()
        self._join_node()
        for each in self.programs[2:]:
            each.wait()

    def _join_node(self) -> None:
        """What makes a node of this control plane's, if it has one."""

    # -- using it ---------------------------------------------------------------------------------

    def kubectl(
        self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator or the user of `kubeconfig`; a refusal is an AssertionError with its text."""
        return self._run("kubectl", *arguments, stdin=stdin, kubeconfig=kubeconfig, check=check)

    def helm(
        self, *arguments: str, check: bool = True, seconds: float = KUBECTL_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run helm as the administrator."""
        return self._run("helm", *arguments, check=check, seconds=seconds)

    def apply(self, *objects: dict[str, Any], namespace: str | None = None) -> None:
        """Create or change objects."""
        where = () if namespace is None else ("--namespace", namespace)
        self.kubectl("apply", "--filename=-", *where, stdin="\n---\n".join(json.dumps(each) for each in objects))

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        where = () if namespace is None else ("--namespace", namespace)
        done = self.kubectl("get", kind, name, *where, "--output=json", "--ignore-not-found")
        return json.loads(done.stdout) if done.stdout else None

    def objects(self, kind: str, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind, in one namespace or in all."""
        where = ("--all-namespaces",) if namespace is None else ("--namespace", namespace)
        done = self.kubectl("get", kind, *where, f"--selector={selector}", "--output=json")
        return json.loads(done.stdout)["items"]

    def raw(self, path: str) -> Any:
        """What the API server answers to a GET, as the administrator."""
        return json.loads(self.kubectl("get", "--raw", path).stdout)

    def kubeconfig_of(self, account: str, namespace: str) -> Path:
        """A kubeconfig with a new token of a ServiceAccount. The audit log distinguishes the tokens."""
        token = self.kubectl("create", "token", account, "--namespace", namespace, "--duration=2h").stdout.strip()
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=f"{namespace}-{account}-", suffix=".kubeconfig")
        os.close(handle)
        self._write_kubeconfig(Path(name), {"token": token}, namespace)
        return Path(name)

    def audited(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """The requests of ServiceAccounts since a mark of `audit_mark`, oldest first; a watch counts when it begins."""
        with contextlib.suppress(FileNotFoundError), self._audit_log.open("rb") as log:
            log.seek(since)
            for line in log:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def audit_mark(self) -> int:
        """Where the audit log ends now."""
        return self._audit_log.stat().st_size if self._audit_log.exists() else 0

    @property
    def _audit_log(self) -> Path:
        return self.folder / "audit.log"

    def _run(
        self,
        name: str,
        *arguments: str,
        stdin: str | None = None,
        kubeconfig: Path | None = None,
        check: bool = True,
        seconds: float = KUBECTL_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        homes = {f"HELM_{kind}_HOME": str(self.folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
        environment = os.environ | homes | {"KUBECONFIG": str(kubeconfig or self.kubeconfig), "NO_PROXY": "*"}
        done = subprocess.run(
            [str(find(name)), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0 or not check, f"{name} {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done

    # -- making it --------------------------------------------------------------------------------

    def _make_files(self) -> None:
        hosts = (urlsplit(self.url).hostname, HOST, API_SERVICE, "localhost", "kubernetes.default.svc")
        self.authority.issue("apiserver", "kube-apiserver", hosts=hosts)
        self.certified("admin", "admin", "system:masters")
        for name in ("kube-controller-manager", "kube-scheduler"):
            self.certified(name, f"system:{name}")
        key = rsa.generate_private_key(65537, 2048)
        write_key(self.folder / "accounts.key", key)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "accounts.pub").write_bytes(public)
        (self.folder / "audit.json").write_text(json.dumps(AUDIT_POLICY))

    def certified(self, name: str, user: str, group: str | None = None, hosts: tuple[str, ...] = ()) -> Path:
        """A new certificate, NAME.crt and NAME.key, and a kubeconfig with it; with `hosts` for a server as well."""
        self.authority.issue(name, user, group, hosts)
        pair = {f"client-{kind}-data": base64_of(self.folder / f"{name}.{end}") for kind, end in KEY_PAIR.items()}
        self._write_kubeconfig(self.folder / f"{name}.kubeconfig", pair)
        return self.folder / f"{name}.kubeconfig"

    def _write_kubeconfig(self, path: Path, user: dict[str, str], namespace: str = "default") -> None:
        server = {"server": self.url, "certificate-authority-data": base64_of(self.folder / "ca.crt")}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": context}],
        }
        path.write_text(json.dumps(config))

    def _program(self, name: str, health: str, *flags: str) -> Program:
        return Program([str(find(name)), *flags], self.folder / f"{name}.log", lambda: self._answers(health))

    def _answers(self, url: str) -> bool:
        place = urlsplit(url)
        assert place.hostname is not None
        if place.scheme == "http":
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=3)
        else:
            connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=3, context=self._tls)
        try:
            connection.request("GET", place.path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _etcd(self) -> Program:
        client, peer = (f"http://{HOST}:{free_port()}" for _ in range(2))
        self._store = client
        return self._program(
            "etcd",
            f"{client}/health",
            f"--data-dir={self.folder}/etcd",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def _apiserver(self) -> Program:
        place = urlsplit(self.url)
        return self._program(
            "kube-apiserver",
            f"{self.url}/readyz",
            f"--etcd-servers={self._store}",
            f"--bind-address={place.hostname}",
            f"--secure-port={place.port}",
            f"--tls-cert-file={self.folder}/apiserver.crt",
            f"--tls-private-key-file={self.folder}/apiserver.key",
            f"--client-ca-file={self.folder}/ca.crt",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/accounts.pub",
            f"--service-account-signing-key-file={self.folder}/accounts.key",
            f"--service-cluster-ip-range={SERVICES}",
            # A loopback address cannot be an endpoint of a Service.
            f"--endpoint-reconciler-type={'none' if place.hostname == HOST else 'lease'}",
            f"--kubelet-client-certificate={self.folder}/admin.crt",
            f"--kubelet-client-key={self.folder}/admin.key",
            f"--kubelet-certificate-authority={self.folder}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={self.folder}/audit.json",
            f"--audit-log-path={self._audit_log}",
            "--profiling=false",
        )

    def _controller(self, name: str) -> Program:
        port, config = free_port(), f"{self.folder}/{name}.kubeconfig"
        flags = [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--authentication-skip-lookup",
            "--leader-elect=false",
            f"--bind-address={HOST}",
            f"--secure-port={port}",
            f"--tls-cert-file={self.folder}/apiserver.crt",
            f"--tls-private-key-file={self.folder}/apiserver.key",
            "--profiling=false",
        ]
        if name == "kube-controller-manager":
            flags += [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.folder}/accounts.key",
                f"--root-ca-file={self.folder}/ca.crt",
                "--horizontal-pod-autoscaler-sync-period=2s",
                "--node-monitor-grace-period=1h",  # the fake node lives, however slow this machine is
            ]
        return self._program(name, f"https://{HOST}:{port}/healthz", *flags)


class Cluster(ControlPlane):
    """A control plane on loopback with a fake node, whose pods kwok reports as running."""

    def __init__(self) -> None:
        super().__init__()
        self.kwok = self._kwok()

    @property
    def programs(self) -> list[Program]:
        return [*super().programs, self.kwok]

    def _join_node(self) -> None:
        self.apply(FAKE_NODE)
        self.kubectl("wait", "--for=condition=Ready", "node/fake", "--timeout=30s")

    def _kwok(self) -> Program:
        address = f"{HOST}:{free_port()}"
        return self._program(
            "kwok",
            f"http://{address}/healthz",
            f"--kubeconfig={self.kubeconfig}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            "--cidr=10.244.0.0/16",
            f"--node-ip={HOST}",
            f"--server-address={address}",
            "--node-lease-duration-seconds=0",  # a lease that runs out on a slow machine would stop it
        )
