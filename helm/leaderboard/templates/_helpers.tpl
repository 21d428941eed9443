{{- define "leaderboard.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "leaderboard.operator" -}}
{{ include "leaderboard.fullname" . }}-operator
{{- end -}}

{{- define "leaderboard.devMongodb" -}}
{{ include "leaderboard.fullname" . }}-dev-mongodb
{{- end -}}

{{- define "leaderboard.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: leaderboard
{{- end -}}

{{- define "leaderboard.operatorSelector" -}}
app.kubernetes.io/name: leaderboard-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leaderboard.devMongodbSelector" -}}
app.kubernetes.io/name: leaderboard-dev-mongodb
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leaderboard.operatorImage" -}}
{{ .Values.operator.image | default (printf "leaderboard-operator:%s" .Chart.AppVersion) }}
{{- end -}}

{{- define "leaderboard.appImage" -}}
{{ .Values.app.image | default (printf "leaderboard-app:%s" .Chart.AppVersion) }}
{{- end -}}

{{- define "leaderboard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "leaderboard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* What the operator does with Leaderboards and their objects, wherever it may do so. */ -}}
{{- define "leaderboard.rules" -}}
- apiGroups: [leaderboard.dev]
  resources: [leaderboards]
  verbs: [get, list, watch, patch]
- apiGroups: [leaderboard.dev]
  resources: [leaderboards/status]
  verbs: [patch]
- apiGroups: [leaderboard.dev]
  resources: [leaderboards/finalizers] # asked for by clusters that protect owners
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules, servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets] # those that Leaderboards refer to; their names are not known before
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
