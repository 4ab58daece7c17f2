{{- define "stepspan.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "stepspan.selector" -}}
app.kubernetes.io/name: stepspan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stepspan.labels" -}}
{{ include "stepspan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "stepspan.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}{{ printf "%s@%s" $.Values.image.repository . }}{{ else }}{{ printf "%s:%s" .Values.image.repository $tag }}{{ end }}
{{- end }}

{{- define "stepspan.serverName" -}}
{{ include "stepspan.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "stepspan.tlsSecret" -}}
{{- if eq .Values.certificates.mode "secret" }}{{ required "certificates.mode is secret: certificates.secretName must name it" .Values.certificates.secretName }}{{ else }}{{ include "stepspan.fullname" . }}-tls{{ end }}
{{- end }}

{{- define "stepspan.caBundle" -}}
{{- if eq .Values.certificates.mode "secret" }}
caBundle: {{ required "certificates.mode is secret: certificates.caBundle must hold the CA that signed it" .Values.certificates.caBundle | b64enc }}
{{- end }}
{{- end }}
