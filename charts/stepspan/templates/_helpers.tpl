{{- define "stepspan.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "stepspan.instance" -}}
app.kubernetes.io/name: stepspan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stepspan.labels" -}}
{{ include "stepspan.instance" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The webhook's pods, and what is of them alone: another component of the release is not theirs. */}}
{{- define "stepspan.webhook.selector" -}}
{{ include "stepspan.instance" . }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "stepspan.webhook.labels" -}}
{{ include "stepspan.labels" . }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "stepspan.watch.selector" -}}
{{ include "stepspan.instance" . }}
app.kubernetes.io/component: watch
{{- end }}

{{- define "stepspan.watch.labels" -}}
{{ include "stepspan.labels" . }}
app.kubernetes.io/component: watch
{{- end }}

{{- define "stepspan.logs.selector" -}}
{{ include "stepspan.instance" . }}
app.kubernetes.io/component: logs
{{- end }}

{{- define "stepspan.logs.labels" -}}
{{ include "stepspan.labels" . }}
app.kubernetes.io/component: logs
{{- end }}

{{- define "stepspan.eventLog.args" -}}
- --log-file=/var/log/stepspan/telemetry.jsonl
- --log-max-size={{ int64 .Values.eventLog.maxSizeBytes }}
- --log-keep={{ sub .Values.eventLog.files 1 }}
{{- end }}

{{- /* What is over the limit costs the pod its life: room for a file more than are kept. */}}
{{- define "stepspan.eventLog.volume" -}}
- name: log
  emptyDir: {sizeLimit: {{ mul .Values.eventLog.maxSizeBytes (add .Values.eventLog.files 1) | quote }}}
{{- end }}

{{- define "stepspan.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}{{ printf "%s@%s" $.Values.image.repository . }}{{ else }}{{ printf "%s:%s" .Values.image.repository $tag }}{{ end }}
{{- end }}

{{- define "stepspan.serverName" -}}
{{ include "stepspan.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- /* Who keeps it decides the name: what cert-manager has written stays after it, and would be in Helm's way. */}}
{{- define "stepspan.tlsSecret" -}}
{{- if eq .Values.certificates.mode "secret" }}{{ required "certificates.mode is secret: certificates.secretName must name it" .Values.certificates.secretName }}{{- else if eq .Values.certificates.mode "cert-manager" }}{{ include "stepspan.fullname" . }}-cert{{- else }}{{ include "stepspan.fullname" . }}-tls{{ end }}
{{- end }}

{{- define "stepspan.caBundle" -}}
{{- if eq .Values.certificates.mode "secret" }}
caBundle: {{ required "certificates.mode is secret: certificates.caBundle must hold the CA that signed it" .Values.certificates.caBundle | b64enc }}
{{- end }}
{{- end }}

{{- /* certificates.life, where it leaves time to bring a certificate to all replicas before the next. */}}
{{- define "stepspan.life" -}}
{{- $life := .Values.certificates.life }}
{{- $unit := regexFind "[a-z]+$" $life }}
{{- $millis := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 }}
{{- if lt (mul (trimSuffix $unit $life | int64) (get $millis $unit)) 30000 }}
{{- fail (printf "certificates.life: %s is too short for all replicas and the API server to follow: at least 30s" $life) }}
{{- end }}
{{- $life }}
{{- end }}
