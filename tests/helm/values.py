"""Values that the chart is rendered with: one set for each feature."""

VALUES = {
    "defaults": {},
    "namespaced": {"watchNamespaces": ["games", "shop"]},
    "one replica": {"operator": {"replicas": 1}},
    "monitored": {
        "monitoring": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "interval": "15s",
            "runbookUrl": "https://docs.example/runbooks/",
            "grafanaUrl": "https://grafana.example/",
            "severities": {"page": "critical"},
            "alertLabels": {"team": "games", "severity": "ours wins"},
        },
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Games"}},
    },
    "to try out": {"devMongodb": {"enabled": True}},
    "bare": {"crds": {"install": False}, "networkPolicy": {"enabled": False}},
    "placed": {
        "operator": {
            "image": {"registry": "registry.example", "digest": "sha256:" + "0" * 64},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "control", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
        },
        "app": {"image": {"registry": "registry.example", "tag": "1", "digest": "sha256:" + "1" * 64}},
        "imagePullSecrets": ["registry"],
    },
    "OpenShift": {
        "devMongodb": {
            "enabled": True,
            "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        },
    },
    "marked": {
        "global": {"imageRegistry": "mirror.internal:5000/"},
        "fullnameOverride": "boards",
        "commonLabels": {"team": "platform"},
        "commonAnnotations": {"a.example/owner": "platform"},
        "serviceAccount": {"create": False, "name": "own"},
        "rbac": {"aggregateClusterRoles": False},
        "operator": {
            "extraArgs": ["--metrics-port=8080"],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "podLabels": {"mesh": "no"},
            "podAnnotations": {"a.example/owner": "operators"},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
        },
        "devMongodb": {"enabled": True},
    },
}
