{{- define "nsq.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "nsq.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Labels that select the pods of a program: (dict "root" $ "program" "nsqd"). */}}
{{- define "nsq.selector" -}}
app.kubernetes.io/name: {{ .program }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "nsq.labels" -}}
{{ include "nsq.selector" . }}
app.kubernetes.io/part-of: nsq
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* host:port of every nsqlookupd, with commas: (dict "root" $ "scheme" "" "port" 4160). */}}
{{- define "nsq.lookupds" -}}
{{- $name := printf "%s-nsqlookupd" (include "nsq.name" .root) -}}
{{- range $i := until (int .root.Values.nsqlookupd.replicas) -}}
{{ if $i }},{{ end }}{{ $.scheme }}{{ $name }}-{{ $i }}.{{ $name }}.{{ $.root.Release.Namespace }}.svc:{{ $.port }}
{{- end }}
{{- end }}

{{/* The names of nsqd's StatefulSets, as a list. */}}
{{- define "nsq.nsqds" -}}
{{- $base := include "nsq.name" . -}}
{{- range .Values.nsqd.zones | default (list "") }}
- {{ $base }}-nsqd{{ with . }}-{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* Made for an upgrade alone, in the order of the numbers. */}}
{{- define "nsq.hook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "nsq.tlsSecret" -}}
{{ .Values.tls.secretName | default (printf "%s-tls" (include "nsq.name" .)) }}
{{- end }}

{{- define "nsq.authSecret" -}}
{{ .Values.auth.secretName | default (printf "%s-auth" (include "nsq.name" .)) }}
{{- end }}

{{/* What others may call a service and, with $(POD_NAME), one of its pods: (dict "root" $ "service" "nsqd"). */}}
{{- define "nsq.hosts" -}}
{{- $name := printf "%s-%s" (include "nsq.name" .root) .service -}}
{{- $full := printf "%s.%s" $name .root.Release.Namespace -}}
{{- range $i, $host := list $name $full (printf "%s.svc" $full) (printf "%s.svc.cluster.local" $full) -}}
{{ if $i }},{{ end }}{{ $host }}{{ if $.pods }},$(POD_NAME).{{ $host }}{{ end }}
{{- end }}
{{- with .root.Values.nsqd.external.host }},{{ . }}{{ end }}
{{- end }}

{{- define "nsq.env" -}}
{{- range $key, $value := . }}
- {name: {{ $key }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "nsq.mounts" -}}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/nsq/tls, readOnly: true}
{{- end }}
{{- if .Values.auth.enabled }}
- {name: auth, mountPath: /etc/nsq/auth, readOnly: true}
{{- end }}
{{- end }}

{{- define "nsq.volumes" -}}
{{- if .Values.tls.enabled }}
- {name: tls, secret: {secretName: {{ include "nsq.tlsSecret" . }}, defaultMode: 288}}
{{- end }}
{{- if .Values.auth.enabled }}
- {name: auth, secret: {secretName: {{ include "nsq.authSecret" . }}, defaultMode: 288}}
{{- end }}
{{- end }}

{{- define "nsq.podSecurity" -}}
runAsNonRoot: true
runAsUser: 4150
runAsGroup: 4150
fsGroup: 4150
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "nsq.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Pods of the same program on different nodes. */}}
{{- define "nsq.affinity" -}}
{{- if ne .root.Values.antiAffinity "none" }}
affinity:
  podAntiAffinity:
    {{- if eq .root.Values.antiAffinity "hard" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "nsq.selector" . | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "nsq.selector" . | nindent 14 }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "nsq.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 1
  failureThreshold: {{ .starts }}
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}
