"""Configuration files of a node's programs: container runtime, network, kubelet, Services, DNS. All pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.enclosure import CGROUP, NODE
from tests.support.images import PAUSE

Object = dict[str, Any]

NAME = "node-1"
PODS = "10.244.0.0/24"
DNS = "10.96.0.10"
PLUGINS = Path("/usr/lib/cni")
"""Debian's folder of network plugins."""
SOCKET = "/run/containerd/containerd.sock"
KUBELET, PROXY, HEALTH, METRICS = 10248, 10256, 8081, 9080
"""Ports on which the kubelet, kube-proxy, CoreDNS and kube-network-policies report their health."""


def containerd(home: Path) -> str:
    """Debian's containerd with runc. AppArmor's profile would be loaded into this machine's kernel."""
    return f"""version = 2
root = "{home}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{home}/network"
"""


def network() -> Object:
    """A bridge that all pods are on."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def kubelet(folder: Path, home: Path) -> Object:
    """`folder` has the certificates. Volumes and logs are in memory, in /var, as this machine's disk may be busy."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE,
        "healthzBindAddress": NODE,
        "healthzPort": KUBELET,
        "tlsCertFile": f"{folder}/kubelet.crt",
        "tlsPrivateKeyFile": f"{folder}/kubelet.key",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{folder}/ca.crt"}},
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "volumePluginDir": f"{home}/volume-plugins",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "imageGCHighThresholdPercent": 100,  # nothing could pull an image again
        "evictionHard": {"memory.available": "100Mi"},  # however full this machine's disk is
    }


def proxy(folder: Path) -> Object:
    """Services by iptables. What would be set for the whole machine is left alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": NODE,
        "healthzBindAddress": f"{NODE}:{PROXY}",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": f"{folder}/kube-proxy.kubeconfig"},
        "clusterCIDR": PODS,
        "hostnameOverride": NAME,
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def names(folder: Path) -> str:
    """CoreDNS for the names of Services."""
    return f""".:53 {{
  bind {NODE}
  errors
  health {NODE}:{HEALTH}
  kubernetes cluster.local {{
    kubeconfig {folder}/admin.kubeconfig
  }}
}}
"""


def names_service() -> list[Object]:
    """The Service by which pods reach CoreDNS: it is no pod here."""
    ports = [{"name": each.lower(), "port": 53, "protocol": each} for each in ("UDP", "TCP")]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    labels = {"kubernetes.io/service-name": metadata["name"]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": DNS, "ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE]}],
            "ports": ports,
        },
    ]
