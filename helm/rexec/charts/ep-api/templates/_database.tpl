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

{{- /* Where the catalog is, of which an upgrade must not lose sight; empty if it ends with its pod. */ -}}
{{- define "ep.place" -}}
{{- $database := include "ep.database" . -}}
{{- if not (include "ep.catalog" .) -}}
{{- else if ne $database "sqlite" }}{{ $database -}}
{{- else if .Values.persistence.enabled }}sqlite/{{ .Values.persistence.existingClaim | default (include "rexec.part" (list . "ep-api")) -}}
{{- end -}}
{{- end -}}

{{- /* Refuses an upgrade after which the catalog would be another one, and empty. */ -}}
{{- define "ep.settled" -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace (include "rexec.part" (list . "ep-api")) -}}
{{- $was := dig "metadata" "annotations" "rexec.dev/catalog" "" $there -}}
{{- $kind := regexFind "^[a-z]+" $was -}}
{{- if and $was (ne $was (include "ep.place" .)) (ne $kind .Values.database.leave) -}}
{{- $places := dict
  "sqlite" (printf "a file of SQLite on the claim %s" (trimPrefix "sqlite/" $was))
  "bundled" "the PostgreSQL that global.postgresql.enabled installed"
  "external" "the PostgreSQL that ep-api.database named"
-}}
{{- fail (printf "ep-api.database.leave: the catalog of this release is in %s, and with these values it would be another one, which is empty. Either give the values of the last upgrade again (helm get values %s -n %s), or copy the catalog as docs/administration.md tells under \"Move the catalog\", and set ep-api.database.leave=%s" (get $places $kind) .Release.Name .Release.Namespace $kind) -}}
{{- end -}}
{{- end -}}

{{- define "ep.env" -}}
{{- $root := .root }}{{ $global := .root.Values.global -}}
{{- $database := include "ep.database" $root -}}
{{- if eq $database "bundled" }}
- name: POSTGRESQL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $global.postgresql.passwordSecret | default (include "rexec.keys" $root) }}, key: postgresql-password}}
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
  "REXEC_EP_DATABASE_WAIT" 60
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
