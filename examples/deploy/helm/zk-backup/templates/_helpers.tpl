{{- define "zk-backup.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "zk-backup.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zk-backup.labels" -}}
{{ include "zk-backup.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "zk-backup.secret" -}}
{{ ternary (printf "%s-credentials" (include "zk-backup.name" .)) .Values.existingSecret (not (empty .Values.secretValues)) }}
{{- end }}

{{- define "zk-backup.account" -}}
{{ .Values.serviceAccount.name | default (ternary (include "zk-backup.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "zk-backup.scheme" -}}
{{ ternary "https" "http" (not (empty .Values.tls.secret)) }}
{{- end }}

{{- define "zk-backup.port" -}}
{{ ternary 8443 8080 (not (empty .Values.tls.secret)) }}
{{- end }}

{{- define "zk-backup.ha" -}}
{{ if gt (int .Values.replicas) 1 }}true{{ end }}
{{- end }}

{{/* The name by which a pod is reached. A certificate's wildcard needs two labels behind it. */}}
{{- define "zk-backup.pod" -}}
{{ printf "%s://%s.%s-peers.%s.svc:%s" (include "zk-backup.scheme" .root) .pod (include "zk-backup.name" .root) .root.Release.Namespace (include "zk-backup.port" .root) }}
{{- end }}

{{/* Ports that it speaks to elsewhere, as the values name them. */}}
{{- define "zk-backup.ports" -}}
{{- $ports := list -}}
{{- $zookeeper := .Values.settings.ZOOKEEPER_PORT | default 2181 -}}
{{- range splitList "," (first (splitList "/" .Values.zookeeper.hosts)) -}}
{{- $ports = append $ports (int (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default (toString $zookeeper))) -}}
{{- end -}}
{{- if .Values.s3.enabled -}}
{{- $url := .Values.s3.url | default "https://s3.amazonaws.com" | trimSuffix "/" -}}
{{- $usual := ternary 80 443 (hasPrefix "http://" $url) -}}
{{- $ports = append $ports (int (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url) | default (toString $usual))) -}}
{{- end -}}
{{- if or .Values.cloud.url .Values.aliases.existingSecret }}{{ $ports = append $ports 443 }}{{ end -}}
{{- uniq $ports | toJson -}}
{{- end }}

{{- define "zk-backup.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ include "zk-backup.scheme" .root | upper }}
timeoutSeconds: 5
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "zk-backup.check" -}}
{{- if and (include "zk-backup.ha" .) (not .Values.s3.enabled) (not .Values.cloud.url) (not .Values.aliases.existingSecret) }}
{{- fail "replicas: several servers share a bucket, so that s3.enabled or cloud.url is needed, or aliases" }}
{{- end }}
{{- if and .Values.s3.enabled .Values.cloud.url }}
{{- fail "cloud.url: backups are kept in one place, and s3.enabled is given too" }}
{{- end }}
{{- if and (include "zk-backup.ha" .) .Values.storage.existingClaim }}
{{- fail "storage.existingClaim: each of several servers has a volume of its own" }}
{{- end }}
{{- if and .Values.s3.enabled (not .Values.s3.bucket) }}
{{- fail "s3.bucket: it is needed with s3.enabled" }}
{{- end }}
{{- if and .Values.encryption.identitySecret (not .Values.encryption.recipients) }}
{{- fail "encryption.identitySecret: it is given without encryption.recipients" }}
{{- end }}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- $all := concat $ours (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") }}
{{- range list
  (list "podLabels" .Values.podLabels $ours)
  (list "podAnnotations" .Values.podAnnotations (list "checksum/credentials"))
  (list "serviceMonitor.labels" .Values.serviceMonitor.labels $all)
  (list "prometheusRule.labels" .Values.prometheusRule.labels $all)
  (list "dashboard.labels" .Values.dashboard.labels $all) }}
{{- $value := . }}
{{- range $key, $_ := index $value 1 }}
{{- if has $key (index $value 2) }}
{{- fail (printf "%s: %s is the chart's own" (index $value 0) $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne (toString .Values.settings.BACKUP_DAEMON_ALLOW_ANONYMOUS) "true" }}
{{- if and (not .Values.existingSecret) (not .Values.secretValues) }}
{{- fail "existingSecret: without credentials nobody is served but the pod itself; settings.BACKUP_DAEMON_ALLOW_ANONYMOUS=true lets everybody in" }}
{{- end }}
{{- if .Values.secretValues }}
{{- range list "BACKUP_DAEMON_API_CREDENTIALS_USERNAME" "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD" }}
{{- if not (index $.Values.secretValues .) }}
{{- fail (printf "secretValues.%s: without credentials nobody is served but the pod itself, and no probe; settings.BACKUP_DAEMON_ALLOW_ANONYMOUS=true lets everybody in" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The settings that the chart knows. */}}
{{- define "zk-backup.env" -}}
- name: ZOOKEEPER_HOST
  value: {{ .Values.zookeeper.hosts | quote }}
{{- with .Values.zookeeper.tlsSecret }}
- name: ZOOKEEPER_ENABLE_SSL
  value: "true"
- name: ZOOKEEPER_TLS_PATH
  value: /etc/zk-backup/zookeeper-tls
{{- end }}
- name: STORAGE
  value: /storage/vaults
- name: SHUTDOWN_GRACE
  value: {{ .Values.shutdownGrace | quote }}
{{- if include "zk-backup.secret" . }}
- name: BACKUP_DAEMON_SECRETS_DIR
  value: /etc/zk-backup/secrets
{{- end }}
{{- if .Values.tls.secret }}
- name: TLS_ENABLED
  value: "true"
- name: CERTS_PATH
  value: /etc/zk-backup/tls
{{- end }}
{{- if .Values.s3.enabled }}
- name: S3_ENABLED
  value: "true"
- name: S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
{{- with .Values.s3.region }}
- name: S3_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.url }}
- name: S3_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.s3.caSecret }}
- name: S3_CERTS_PATH
  value: /etc/zk-backup/s3-ca/ca.crt
{{- end }}
{{- end }}
{{- if .Values.aliases.existingSecret }}
- name: S3_ALIASES_USED
  value: "true"
- name: ALIASES_PATH
  value: /etc/zk-backup/aliases
{{- end }}
{{- if and .Values.s3.prefix (or .Values.s3.enabled .Values.aliases.existingSecret) }}
- name: S3_PREFIX
  value: {{ .Values.s3.prefix | quote }}
{{- end }}
{{- with .Values.cloud.url }}
- name: STORAGE_URL
  value: {{ . | quote }}
{{- end }}
{{- if or (include "zk-backup.ha" .) .Values.tls.secret }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if include "zk-backup.ha" . }}
- name: HA
  value: "true"
- name: HA_NAME
  value: $(POD_NAME)
- name: HA_ADDRESS
  value: {{ include "zk-backup.pod" (dict "root" . "pod" "$(POD_NAME)") | quote }}
{{- if and .Values.tls.secret .Values.tls.ca }}
- name: HA_CA_FILE
  value: /etc/zk-backup/tls/ca.crt
{{- end }}
{{- end }}
{{- if .Values.tls.secret }}
# For zk-backup in the pod.
- name: ZK_BACKUP_URL
  value: {{ include "zk-backup.pod" (dict "root" . "pod" "$(POD_NAME)") | quote }}
{{- if .Values.tls.ca }}
- name: ZK_BACKUP_CA
  value: /etc/zk-backup/tls/ca.crt
{{- end }}
{{- end }}
{{- with .Values.encryption.recipients }}
- name: ENCRYPTION_RECIPIENTS
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.encryption.identitySecret }}
- name: ENCRYPTION_IDENTITY_FILE
  value: /etc/zk-backup/identity/identity.txt
{{- end }}
{{- /* A number comes as a float, which would be written with an exponent. */}}
{{- range $key, $value := .Values.settings }}
- name: {{ $key }}
  value: {{ ternary (toString (int64 $value)) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- end }}

{{/* The Secrets that are files in the pod, by the name of their volume, which is also that of their directory. */}}
{{- define "zk-backup.files" -}}
{{- $files := dict
  "secrets" (include "zk-backup.secret" .)
  "tls" .Values.tls.secret
  "zookeeper-tls" .Values.zookeeper.tlsSecret
  "s3-ca" (ternary .Values.s3.caSecret "" .Values.s3.enabled)
  "aliases" .Values.aliases.existingSecret
  "identity" .Values.encryption.identitySecret -}}
{{- range $volume, $secret := $files }}
{{- if not $secret }}{{ $_ := unset $files $volume }}{{ end }}
{{- end }}
{{- toJson $files }}
{{- end }}
