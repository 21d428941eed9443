"""Values that the chart is rendered with: one set for each thing that it can be told."""

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
            "image": "registry.example/leaderboard-operator@sha256:" + "0" * 64,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "control", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
        },
        "app": {"image": "registry.example/leaderboard-app:1"},
        "imagePullSecrets": ["registry"],
    },
}
