{{- define "fullconv.fullname" -}}
{{- if contains "fullconv" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-fullconv" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fullconv.selector" -}}
app.kubernetes.io/name: fullconv
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fullconv.labels" -}}
{{ include "fullconv.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "fullconv.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "fullconv.fullname" .) -}}
{{- end -}}

{{/* MiB of a quantity such as 1Gi, 500M or 1073741824. */}}
{{- define "fullconv.mebibytes" -}}
{{- $bytes := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := get $bytes (regexFind "[A-Za-z]*$" .) -}}
{{- divf (mulf (regexFind "^[0-9.]+" . | float64) $unit) 1048576 | floor | int64 -}}
{{- end -}}

{{/*
The environment as a dictionary. Budgets are parts of the memory limit: bodies are charged at most twice their bytes, so that the
largest body is half of what all bodies may take.
*/}}
{{- define "fullconv.settings" -}}
{{- $memory := include "fullconv.mebibytes" .Values.resources.limits.memory | int64 -}}
{{- $eighth := div (mul $memory 1048576) 8 -}}
{{- $env := dict
  "HOST" "0.0.0.0"
  "PORT" "8080"
  "FULLCONV_CACHE" "/var/cache/fullconv"
  "FULLCONV_CACHE_MB" (div (mul (include "fullconv.mebibytes" .Values.cache.sizeLimit | int64) 4) 10 | toString)
  "FULLCONV_MEMORY_MB" (div (mul $memory 3) 10 | toString)
  "FULLCONV_MAX_BODIES_BYTES" ($eighth | toString)
  "FULLCONV_MAX_ANSWERS_BYTES" ($eighth | toString)
  "FULLCONV_MAX_BYTES" (min 33554432 (div $eighth 2) | toString)
  "FULLCONV_DRAIN_DELAY_MS" (mul .Values.drain.delaySeconds 1000 | toString)
  "FULLCONV_DRAIN_TIMEOUT_MS" (mul .Values.drain.timeoutSeconds 1000 | toString)
-}}
{{- if ne .Values.models.source "embedded" }}{{ $_ := set $env "FULLCONV_MODELS" "/models" }}{{ end -}}
{{- with .Values.models.default }}{{ $_ := set $env "FULLCONV_DEFAULT_MODEL" . }}{{ end -}}
{{- with .Values.trustedProxies }}{{ $_ := set $env "FULLCONV_TRUSTED_PROXIES" (join "," .) }}{{ end -}}
{{- if .Values.keysSecret.name }}{{ $_ := set $env "FULLCONV_KEYS" (printf "/etc/fullconv/keys/%s" .Values.keysSecret.key) }}{{ end -}}
{{- range $name, $value := .Values.settings }}
{{- /* Numbers of a file are floating: 33554432 would be written 3.3554432e+07. */ -}}
{{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ $value = int64 $value }}{{ end -}}
{{- $_ := set $env $name (toString $value) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* http, or https where the settings or extraEnv name a certificate. */}}
{{- define "fullconv.scheme" -}}
{{- $certificate := get (include "fullconv.settings" . | fromYaml) "FULLCONV_TLS_CERT" -}}
{{- range .Values.extraEnv }}{{ if and (eq .name "FULLCONV_TLS_CERT") (or .value .valueFrom) }}{{ $certificate = "named" }}{{ end }}{{ end -}}
{{- $certificate | empty | ternary "http" "https" -}}
{{- end -}}

{{/* Something where the server asks for keys. */}}
{{- define "fullconv.hasKeys" -}}
{{- get (include "fullconv.settings" . | fromYaml) "FULLCONV_KEYS" -}}
{{- end -}}

{{- define "fullconv.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What every container of this program has in common. */}}
{{- define "fullconv.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
workingDir: {{ .Values.workingDir }}
securityContext:
  {{- include "fullconv.securityContext" . | nindent 2 }}
{{- end -}}

{{- define "fullconv.podBasics" -}}
serviceAccountName: {{ include "fullconv.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}
