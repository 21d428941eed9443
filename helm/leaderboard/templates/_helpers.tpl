{{- define "leaderboard.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "leaderboard.fullname" -}}
{{- $name := include "leaderboard.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "leaderboard.operator" -}}
{{ include "leaderboard.fullname" . }}-operator
{{- end -}}

{{- define "leaderboard.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "leaderboard.operator" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | required "serviceAccount.create is false: set serviceAccount.name to one that exists" }}
{{- end -}}
{{- end -}}

{{- define "leaderboard.devMongodb" -}}
{{ include "leaderboard.fullname" . }}-dev-mongodb
{{- end -}}

{{- define "leaderboard.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: leaderboard
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The annotations of an object, with their heading: those of all objects, and `own` ones. */ -}}
{{- define "leaderboard.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "leaderboard.operatorSelector" -}}
app.kubernetes.io/name: leaderboard-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leaderboard.devMongodbSelector" -}}
app.kubernetes.io/name: leaderboard-dev-mongodb
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* An image: the registry of all images wins, a digest stands beside a tag only where the tag is given. */ -}}
{{- define "leaderboard.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $tag := .image.tag -}}
{{- if not (or $tag .image.digest) }}{{ $tag = .root.Chart.AppVersion }}{{ end -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "leaderboard.operatorImage" -}}
{{ include "leaderboard.image" (dict "root" . "image" .Values.operator.image) }}
{{- end -}}

{{- define "leaderboard.appImage" -}}
{{ include "leaderboard.image" (dict "root" . "image" .Values.app.image) }}
{{- end -}}

{{- define "leaderboard.pullSecrets" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- /* Of the pods that are no operators. */ -}}
{{- define "leaderboard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Kubernetes' own message names a kind; this one says what to do. A cluster always has apiregistration.k8s.io, and
       `helm template` without one never has. */ -}}
{{- define "leaderboard.needMonitoring" -}}
{{- $known := .Capabilities.APIVersions -}}
{{- if and ($known.Has "apiregistration.k8s.io/v1") (not ($known.Has "monitoring.coreos.com/v1/ServiceMonitor")) -}}
{{- fail "monitoring.enabled needs the Prometheus operator's CRDs ServiceMonitor and PrometheusRule, and this cluster has none. Install them first (for example with the chart kube-prometheus-stack), or set monitoring.enabled=false. Leaderboards get their own once the CRDs are there." -}}
{{- end -}}
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
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get]
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules, servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets] # those that Leaderboards refer to; their names are not known before
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [jobs] # each drops the database of a Leaderboard that is deleted with deletionPolicy: Delete
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [namespaces] # whether one is being deleted
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
