{{- /* "true" if the endpoint has a catalog of its own. */ -}}
{{- define "ep.catalog" -}}
{{- $env := .Values.env -}}
{{- if not (or (has (lower (toString (get $env "CKAN_LOCAL_ENABLED"))) (list "false" "0" "no" "off")) (eq (lower (toString (get $env "LOCAL_CATALOG_BACKEND"))) "none")) }}true{{ end -}}
{{- end -}}

{{- /* What the catalog is kept in: bundled, external or sqlite. */ -}}
{{- define "ep.database" -}}
{{- $database := .Values.database -}}
{{- $external := or $database.url $database.secretName -}}
{{- if and $database.url $database.secretName -}}
{{- fail "ep-api.database.url and ep-api.database.secretName are two addresses of one database: give one" -}}
{{- else if and .Values.global.postgresql.enabled $external -}}
{{- fail "global.postgresql.enabled installs a database, and ep-api.database names another: choose one" -}}
{{- else if .Values.global.postgresql.enabled }}bundled{{ else if $external }}external{{ else }}sqlite{{ end -}}
{{- end -}}

{{- define "ep.env" -}}
{{- $root := .root }}{{ $global := .root.Values.global -}}
{{- $database := include "ep.database" $root -}}
{{- if eq $database "bundled" }}
- name: POSTGRESQL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "rexec.keys" $root }}, key: postgresql-password}}
- name: REXEC_EP_DATABASE_URL
  value: postgresql://rexec:$(POSTGRESQL_PASSWORD)@{{ include "rexec.part" (list $root "postgresql") }}.{{ $root.Release.Namespace }}:5432/rexec
{{- else if eq $database "external" }}
- name: REXEC_EP_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ $root.Values.database.secretName | default .secret }}, key: {{ ternary $root.Values.database.secretKey "url" (ne $root.Values.database.secretName "") }}}}
{{- else }}
- name: REXEC_EP_DATABASE_URL
  value: sqlite:////data/catalog.sqlite3
{{- end }}
{{- $own := dict
  "REXEC_EP_HOST" "0.0.0.0"
  "REXEC_EP_PORT" "8000"
  "REXEC_EP_WORKERS" (int $root.Values.workers)
  "REXEC_EP_LOG_LEVEL" $root.Values.logLevel
  "ROOT_PATH" (trimSuffix "/" $global.epApi.path)
  "REXEC_CONNECTION" $root.Values.rexec.enabled
}}
{{- if $root.Values.rexec.enabled }}{{ $_ := set $own "REXEC_DEPLOYMENT_API_URL" (include "rexec.deployApiUrl" $root) }}{{ end }}
{{- $identity := include "rexec.identity" (dict "root" $root "prefix" "REXEC_EP") | fromYaml }}
{{- include "rexec.env" (list $root.Values.env $own $identity) }}
{{- include "rexec.token" $root }}
{{- range $name, $at := $root.Values.secretEnv }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $at.name }}, key: {{ $at.key }}}}
{{- end }}
{{- end -}}

{{- define "ep.container" -}}
image: {{ include "rexec.image" (dict "root" . "image" .Values.image "of" "ep-api.image") }}
{{ include "rexec.container" (dict "root" .) }}
{{- end -}}

{{- define "ep.volumes" -}}
- name: data
  {{- if and (include "ep.catalog" .) (eq (include "ep.database" .) "sqlite") .Values.persistence.enabled }}
  persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim | default (include "rexec.part" (list . "ep-api")) }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir: {sizeLimit: 512Mi}
{{- end -}}

{{- define "ep.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- /* What may be reached: databases, catalogs, stores and services can be anywhere. */ -}}
{{- define "ep.egress" -}}
{{- if .Values.egress }}
{{- include "rexec.dns" . }}
{{ toYaml .Values.egress }}
{{- else }}
- to:
    - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
    - ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::254/128"]}
    - namespaceSelector: {}
{{- include "rexec.dns" . | nindent 0 }}
{{- end }}
{{- end -}}
