{{- /* Shared by all charts; scripts/chart.py copies it from helm/rexec/templates/_shared.tpl. */ -}}

{{- /* Name of a part of this release: list $ "broker" */ -}}
{{- define "rexec.part" -}}
{{- printf "%s-%s" (index . 0).Release.Name (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* What tells this release from others in the cluster, in names of up to 40 letters. */ -}}
{{- define "rexec.instance" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Namespace .Release.Name) (eq .Release.Name .Release.Namespace) -}}
{{- if gt (len $name) 40 -}}
{{- printf "%s-%s" (trunc 31 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- /* Refuses a Secret that is not there, or that is empty; where no cluster can be asked it says
nothing: list $ "test.tokenSecret" "its-name" (list "key") */ -}}
{{- define "rexec.holds" -}}
{{- $value := index . 1 }}{{ $name := index . 2 }}{{ $namespace := (index . 0).Release.Namespace -}}
{{- if lookup "v1" "ServiceAccount" $namespace "default" -}}
{{- $there := lookup "v1" "Secret" $namespace $name -}}
{{- if not $there -}}
{{- fail (printf "%s: there is no Secret %q in the namespace %q: make it first" $value $name $namespace) -}}
{{- end -}}
{{- range index . 3 -}}
{{- if not (get ($there.data | default dict) .) -}}
{{- fail (printf "%s: the Secret %q in the namespace %q has nothing at the key %q" $value $name $namespace .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Labels by which pods of a part are selected: list $ "broker" */ -}}
{{- define "rexec.selector" -}}
app.kubernetes.io/name: rexec
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "rexec.labels" -}}
{{ include "rexec.selector" . }}
app.kubernetes.io/part-of: rexec
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{- /* Name of an image: dict "root" $ "image" … "of" "broker.image" */ -}}
{{- define "rexec.image" -}}
{{- $global := .root.Values.global.image -}}
{{- $tag := .image.tag | default $global.tag | default .root.Chart.AppVersion -}}
{{- if and (not .image.digest) (eq (toString $tag) "latest") -}}
{{- fail (printf "%s.tag (or global.image.tag) is \"latest\", which is another image tomorrow: name a version, or set %s.digest" .of .of) -}}
{{- end -}}
{{- with .image.registry | default $global.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end -}}

{{- /* Bytes in a size such as 10Gi. */ -}}
{{- define "rexec.bytes" -}}
{{- $powers := dict "K" 1024 "M" 1048576 "G" 1073741824 "T" 1099511627776 -}}
{{- $text := toString . | trimSuffix "i" -}}
{{- $unit := substr (sub (len $text) 1 | int) (len $text) $text -}}
{{- if hasKey $powers $unit -}}
{{- mul (trimSuffix $unit $text | int64) (get $powers $unit) -}}
{{- else -}}
{{- $text | int64 -}}
{{- end -}}
{{- end -}}

{{- define "rexec.keys" -}}
{{- .Values.global.keys.secret | default (include "rexec.part" (list . "keys")) -}}
{{- end -}}

{{- /* What all pods have, but for their account: dict "root" $ "part" "broker" "priority" "" */ -}}
{{- define "rexec.pod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .priority | default .root.Values.global.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- /* Where its pods may run, from the values of a part: list $ "broker" */ -}}
{{- define "rexec.placing" -}}
{{- $values := (index . 0).Values -}}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toJson . }}
{{- end }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "rexec.selector" $ | nindent 8 }}
{{- end }}
{{- end -}}

{{- /* What all containers have: dict "root" $ */ -}}
{{- define "rexec.container" -}}
imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Resources of jobs that end soon. */ -}}
{{- define "rexec.little" -}}
requests: {cpu: 20m, memory: 96Mi}
limits: {memory: 384Mi}
{{- end -}}

{{- define "rexec.metadata" -}}
name: {{ include "rexec.part" . }}
namespace: {{ (index . 0).Release.Namespace }}
labels: {{- include "rexec.labels" . | nindent 2 }}
{{- end -}}

{{- /* Variables from maps, those of the first counting before those of the others. */ -}}
{{- define "rexec.env" -}}
{{- $all := dict -}}
{{- range . }}{{ $all = merge $all . }}{{ end -}}
{{- range $name, $value := $all }}
- name: {{ $name }}
  {{- /* Whole numbers come as floating ones, which would be written with an exponent. */}}
  {{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end -}}

{{- /* How a service finds out who asks, as a map: dict "root" $ "prefix" "REXEC_EP" */ -}}
{{- define "rexec.identity" -}}
{{- $global := .root.Values.global -}}
{{- if and $global.jwt.jwksUrl (not $global.jwt.issuer) }}{{ fail "global.jwt.issuer is empty: with global.jwt.jwksUrl, name the issuer that tokens must have" }}{{ end -}}
AUTH_API_URL: {{ $global.authApiUrl | quote }}
{{ .prefix }}_JWKS_URL: {{ $global.jwt.jwksUrl | quote }}
{{ .prefix }}_JWT_ISSUER: {{ $global.jwt.issuer | quote }}
{{ .prefix }}_JWT_AUDIENCE: {{ $global.jwt.audience | quote }}
ENABLE_GROUP_BASED_ACCESS: {{ $global.enableGroupBasedAccess | quote }}
GROUP_NAMES: {{ $global.groupNames | quote }}
AFFINITIES_EP_UUID: {{ $global.affinitiesEpUuid | quote }}
{{ .prefix }}_DEVELOPMENT: {{ $global.development.enabled | quote }}
{{ .prefix }}_TRUSTED_PROXIES: {{ $global.trustedProxies | quote }}
{{- end -}}

{{- /* The development token, as a variable. */ -}}
{{- define "rexec.token" -}}
{{- if .Values.global.development.enabled }}
- name: TEST_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "rexec.keys" . }}, key: development-token}}
{{- end }}
{{- end -}}

{{- /* -------------------------------------------------------------------- addresses */ -}}

{{- define "rexec.host" -}}
{{- required "global.host is empty: name the host under which users reach the installation" .Values.global.host -}}
{{- end -}}

{{- /* The same, for what takes names alone. */ -}}
{{- define "rexec.hostname" -}}
{{- $host := include "rexec.host" . -}}
{{- if or (regexMatch "^[0-9.]+$" $host) (not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$" $host)) -}}
{{- fail (printf "global.host is %q: with global.ingress and global.gateway it must be a name in small letters, without a port" $host) -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{- define "rexec.web" -}}
{{- ternary "https" "http" .Values.global.tls.enabled }}://{{ include "rexec.host" . -}}
{{- end -}}

{{- /* Where users reach the deploy API, without the /rexec that clients append. */ -}}
{{- define "rexec.deployApiUrl" -}}
{{- $global := .Values.global -}}
{{- if $global.deployApi.url -}}{{ $global.deployApi.url }}
{{- else if $global.deployApi.nodePort -}}http://{{ include "rexec.host" . }}:{{ $global.deployApi.nodePort }}
{{- else if or $global.ingress.enabled $global.gateway.enabled -}}
{{ include "rexec.web" . }}{{ trimSuffix "/rexec" $global.deployApi.path }}
{{- else -}}http://{{ include "rexec.part" (list . "deploy-api") }}.{{ .Release.Namespace }}:8000
{{- end -}}
{{- end -}}

{{- define "rexec.epApiUrl" -}}
{{- $global := .Values.global -}}
{{- if $global.epApi.url -}}{{ $global.epApi.url }}
{{- else if $global.epApi.nodePort -}}http://{{ include "rexec.host" . }}:{{ $global.epApi.nodePort }}
{{- else if or $global.ingress.enabled $global.gateway.enabled -}}
{{ include "rexec.web" . }}{{ trimSuffix "/" $global.epApi.path }}
{{- else -}}http://{{ include "rexec.part" (list . "ep-api") }}.{{ .Release.Namespace }}:8000
{{- end -}}
{{- end -}}

{{- define "rexec.brokerHost" -}}
{{- $global := .Values.global -}}
{{- if $global.broker.host -}}{{ $global.broker.host }}
{{- else if eq $global.broker.type "ClusterIP" -}}{{ include "rexec.part" (list . "broker") }}.{{ .Release.Namespace }}
{{- else -}}{{ required (printf "global.broker.host and global.host are empty: with type %s, name the host that notebooks connect to" $global.broker.type) $global.host }}
{{- end -}}
{{- end -}}

{{- define "rexec.brokerPort" -}}
{{- $broker := .Values.global.broker -}}
{{- $broker.externalPort | default (ternary $broker.nodePort $broker.port (eq $broker.type "NodePort")) | int -}}
{{- end -}}

{{- /* Service, Ingress and route of an HTTP part: dict "root" $ "part" "ep-api" "at" .Values.global.epApi */ -}}
{{- define "rexec.http" -}}
{{- $root := .root }}{{ $global := .root.Values.global -}}
{{- $name := include "rexec.part" (list .root .part) -}}
apiVersion: v1
kind: Service
metadata: {{- include "rexec.metadata" (list .root .part) | nindent 2 }}
spec:
  type: {{ ternary "NodePort" "ClusterIP" (gt (int .at.nodePort) 0) }}
  selector: {{- include "rexec.selector" (list .root .part) | nindent 4 }}
  ports:
    - name: http
      port: 8000
      targetPort: http
      {{- if .at.nodePort }}
      nodePort: {{ .at.nodePort }}
      {{- end }}
{{- if $global.ingress.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "rexec.metadata" (list .root .part) | nindent 2 }}
  {{- $annotations := $global.ingress.annotations }}
  {{- with $global.tls.certManager }}
  {{- if and .issuer $global.tls.enabled }}
  {{- $annotations = merge (dict (printf "cert-manager.io/%s" (ternary "issuer" "cluster-issuer" (eq .kind "Issuer"))) .issuer) $annotations }}
  {{- end }}
  {{- end }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $global.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- if $global.tls.enabled }}
  tls:
    - hosts: [{{ include "rexec.hostname" $root | quote }}]
      {{- if or $global.tls.secretName $global.tls.certManager.issuer }}
      secretName: {{ $global.tls.secretName | default (printf "%s-tls" $name) }}
      {{- end }}
  {{- end }}
  rules:
    - host: {{ include "rexec.hostname" $root | quote }}
      http:
        paths:
          - path: {{ .at.path }}
            pathType: Prefix
            backend: {service: {name: {{ $name }}, port: {name: http}}}
{{- end }}
{{- if $global.gateway.enabled }}
{{- if not $global.gateway.parentRefs }}{{ fail "global.gateway.parentRefs is empty: name the gateways that lead here" }}{{ end }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "rexec.metadata" (list .root .part) | nindent 2 }}
  {{- with $global.gateway.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  parentRefs: {{- toYaml $global.gateway.parentRefs | nindent 4 }}
  hostnames: [{{ include "rexec.hostname" $root | quote }}]
  rules:
    - matches:
        - path: {type: PathPrefix, value: {{ .at.path }}}
      backendRefs:
        - name: {{ $name }}
          port: 8000
{{- end }}
{{- end -}}

{{- /* Monitor and disruption budget: dict "root" $ "part" "ep-api" "service" "ep-api" "port" "http" */ -}}
{{- define "rexec.watched" -}}
{{- $monitoring := .root.Values.global.monitoring -}}
{{- if and $monitoring.enabled (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PodMonitor") }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "rexec.part" (list .root .part) }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "rexec.labels" (list .root .part) | nindent 4 }}
  {{- with $monitoring.labels }}
  {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    matchLabels: {{- include "rexec.selector" (list .root .part) | nindent 6 }}
  podMetricsEndpoints:
    - port: {{ .port }}
      path: /metrics
      interval: {{ $monitoring.interval }}
{{- end }}
{{- if gt (int .root.Values.replicaCount) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "rexec.metadata" (list .root .part) | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "rexec.selector" (list .root .part) | nindent 6 }}
{{- end }}
{{- end -}}

{{- /* --------------------------------------------------------------------- policies */ -}}

{{- define "rexec.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "rexec.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "rexec.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}

{{- /* Whoever may reach the HTTP parts. */ -}}
{{- define "rexec.httpIngress" -}}
- ports: [{protocol: TCP, port: 8000}]
  {{- with .Values.global.networkPolicy.httpFrom }}
  from:
    {{- toYaml . | nindent 4 }}
    - podSelector:
        matchLabels: {{- include "rexec.selector" (list $ "test") | nindent 10 }}
  {{- end }}
{{- end -}}

{{- define "rexec.dns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.global.networkPolicy.dns.namespace }}}}
    {{- range .Values.global.networkPolicy.dns.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end -}}

{{- define "rexec.toKubernetes" -}}
- to:
    {{- range .Values.global.networkPolicy.kubernetesApi.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .Values.global.networkPolicy.kubernetesApi.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- define "rexec.toIdentity" -}}
{{- $ports := .Values.global.networkPolicy.identityPorts -}}
{{- if not $ports -}}
{{- range compact (list .Values.global.authApiUrl .Values.global.jwt.jwksUrl) }}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- $ports = append $ports (int $port) }}
{{- end }}
{{- end -}}
{{- with $ports }}
- ports:
    {{- range uniq . }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end -}}

{{- /* Pods of other parts: list $ "broker" 5562 */ -}}
{{- define "rexec.toPart" -}}
- to:
    - podSelector:
        matchLabels: {{- include "rexec.selector" . | nindent 10 }}
  ports: [{protocol: TCP, port: {{ index . 2 }}}]
{{- end -}}
