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

{{- /* The annotations of an object, with the key `annotations`: the common ones and those in `own`. */ -}}
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

{{- /* An image. The global registry overrides its own. With a digest, it has a tag only if the value is set. */ -}}
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

{{- /* The security context of containers of test pods and of devMongodb. */ -}}
{{- define "leaderboard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Kubernetes reports the missing kind only; this message has the remedy. A cluster always has
       apiregistration.k8s.io, `helm template` without a cluster has not. */ -}}
{{- define "leaderboard.needMonitoring" -}}
{{- $known := .Capabilities.APIVersions -}}
{{- if and ($known.Has "apiregistration.k8s.io/v1") (not ($known.Has "monitoring.coreos.com/v1/ServiceMonitor")) -}}
{{- fail "monitoring.enabled needs the Prometheus operator's CRDs ServiceMonitor and PrometheusRule, and this cluster has none. Install them first (for example with the chart kube-prometheus-stack), or set monitoring.enabled=false. Leaderboards get their own once the CRDs are there." -}}
{{- end -}}
{{- end -}}

{{- /* The rights of the operator for Leaderboards and their objects. */ -}}
{{- define "leaderboard.rules" -}}
- apiGroups: [leaderboard.dev]
  resources: [leaderboards]
  verbs: [get, list, watch, patch]
- apiGroups: [leaderboard.dev]
  resources: [leaderboards/status]
  verbs: [patch]
- apiGroups: [leaderboard.dev]
  resources: [leaderboards/finalizers] # needed by clusters with OwnerReferencesPermissionEnforcement
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
  resources: [secrets] # those that Leaderboards refer to, whose names are not known in advance
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
