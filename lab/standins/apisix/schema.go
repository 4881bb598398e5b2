// The JSON schemas of the kinds that this project uses, and a validator with the error messages of APISIX's (api7/jsonschema).
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// Fields under `refused` exist in the real server but are not implemented here.
var schemas = parseSchemas(`
id: &id { anyOf: [{ type: string, minLength: 1, maxLength: 64, pattern: "^[a-zA-Z0-9-_.]+$" }, { type: integer, minimum: 1 }] }
name: &name { type: string, minLength: 1, maxLength: 256 }
desc: &desc { type: string, maxLength: 256 }
labels: &labels { type: object, patternProperties: { ".*": { type: string, minLength: 1, maxLength: 256, pattern: '^\S+$' } } }
host: &host { type: string, pattern: '^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$' }
pem: &pem { type: string, minLength: 128, maxLength: 65536 }
count: &count { type: integer, minimum: 0 }
switch: &switch { type: integer, enum: [1, 0] }
seconds: &seconds { type: number, exclusiveMinimum: 0 }
port: &port { type: integer, minimum: 1, maximum: 65535 }
method: &method { type: string, enum: [GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, CONNECT, TRACE, PURGE] }
timeout: &timeout
  { type: object, properties: { connect: *seconds, send: *seconds, read: *seconds }, required: [connect, send, read] }
probe: &probe { type: string, enum: [http, https, tcp] }
one: &one { type: integer, minimum: 1 }
few: &few { type: integer, minimum: 1, maximum: 254 }
some: &some { type: integer, minimum: 0, maximum: 254 }
statuses: &statuses { type: array, minItems: 1, uniqueItems: true, items: { type: integer, minimum: 200, maximum: 599 } }
checks: &checks
  type: object
  anyOf: [{ required: [active] }, { required: [active, passive] }]
  properties:
    { active: { type: object, properties: { type: *probe, timeout: { type: number }, concurrency: { type: integer }, host: *host, port: *port,
        http_method: *method, http_path: { type: string }, http_req_body: { type: string }, https_verify_certificate: { type: boolean },
        req_headers: { type: array, minItems: 1, items: { type: string } },
        healthy: { type: object, properties: { interval: *one, http_statuses: *statuses, successes: *few } },
        unhealthy: { type: object, properties: { interval: *one, http_statuses: *statuses, http_failures: *few,
          tcp_failures: *few, timeouts: *few } } } },
      passive: { type: object, properties: { type: *probe,
        healthy: { type: object, properties: { http_statuses: *statuses, successes: *some } },
        unhealthy: { type: object, properties: { http_statuses: *statuses, http_failures: *some,
          tcp_failures: *some, timeouts: *some } } } } }
pool: &pool { type: object, properties: { size: *one, idle_timeout: { type: number, minimum: 0 }, requests: *one } }
upstreams: &upstream
  type: object
  additionalProperties: false
  oneOf: [{ required: [nodes] }, { required: [service_name, discovery_type] }]
  refused: [discovery_args, discovery_type, hash_on, key, service_name]
  properties:
    { id: *id, name: *name, desc: *desc, labels: *labels, type: { type: string }, retries: *count, timeout: *timeout,
      retry_timeout: { type: number, minimum: 0 }, checks: *checks, keepalive_pool: *pool,
      scheme: { enum: [grpc, grpcs, http, https, tcp, tls, udp, kafka] }, upstream_host: *host,
      pass_host: { type: string, enum: [pass, node, rewrite] },
      nodes: { anyOf: [{ type: object, patternProperties: { ".*": *count } }, { type: array, items: { type: object,
        properties: { host: *host, port: *port, weight: *count },
        required: [host, weight], refused: [metadata, priority] } }] },
      tls: { type: object, properties: { client_cert_id: *id, verify: { type: boolean } },
        refused: [client_cert, client_key] } }
ssls:
  type: object
  additionalProperties: false
  if: { properties: { type: { enum: [server] } } }
  then: { required: [snis, key, cert] }
  else: { required: [key, cert] }
  refused: [certs, keys, sni]
  properties:
    { id: *id, desc: *desc, labels: *labels, type: { type: string, enum: [server, client] }, status: *switch,
      cert: *pem, key: { type: string, minLength: 64, maxLength: 65536 }, snis: { type: array, items: *host, minItems: 1 },
      client: { type: object, properties: { ca: *pem, depth: *count }, required: [ca], refused: [skip_mtls_uri_regex] },
      ssl_protocols: { type: array, items: { enum: [TLSv1.1, TLSv1.2, TLSv1.3] }, uniqueItems: true } }
routes:
  type: object
  additionalProperties: false
  allOf: [{ oneOf: [{ required: [uri] }, { required: [uris] }] }]
  anyOf: [{ required: [plugins, uri] }, { required: [upstream, uri] }, { required: [upstream_id, uri] },
    { required: [service_id, uri] }, { required: [plugins, uris] }, { required: [upstream, uris] },
    { required: [upstream_id, uris] }, { required: [service_id, uris] }, { required: [script, uri] },
    { required: [script, uris] }]
  refused: [filter_func, remote_addr, remote_addrs, script, script_id, service_id]
  properties:
    { id: *id, name: *name, desc: *desc, labels: *labels, status: *switch, priority: { type: integer }, host: *host,
      hosts: { type: array, items: *host, minItems: 1, uniqueItems: true }, uri: { type: string, minLength: 1, maxLength: 4096 },
      uris: { type: array, items: { type: string }, minItems: 1, uniqueItems: true },
      methods: { type: array, uniqueItems: true, items: *method }, enable_websocket: { type: boolean }, vars: { type: array },
      plugins: { type: object }, timeout: *timeout, upstream: *upstream, upstream_id: *id,
      plugin_config_id: *id }
plugin_configs:
  type: object
  additionalProperties: false
  required: [id, plugins]
  properties: { id: *id, name: { type: string }, desc: *desc, labels: *labels, plugins: { type: object } }
global_rules: { type: object, additionalProperties: false, required: [id, plugins], properties: { id: *id, plugins: { type: object } } }
`)

type schema struct {
	Type                               string
	Properties, PatternProperties      map[string]*schema
	AdditionalProperties               *bool
	Required, Refused                  []string
	Items                              *schema
	MinItems, MinLength, MaxLength     int
	UniqueItems                        bool
	Pattern                            *regexp.Regexp
	Minimum, ExclusiveMinimum, Maximum *float64
	Enum                               []any
	AllOf, AnyOf, OneOf                []*schema
	If, Then, Else                     *schema
}

func parseSchemas(text string) (parsed map[string]*schema) {
	if err := yaml.UnmarshalStrict([]byte(text), &parsed); err != nil {
		panic(err)
	}
	return parsed
}

func luaType(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	case nil:
		return "userdata" // cjson's null
	}
	return "table"
}

func hasType(v any, kind string) bool {
	switch t := v.(type) {
	case map[string]any:
		return kind == "object" || (kind == "array" && len(t) == 0) // Lua has one empty table for both
	case []any:
		return kind == "array" || (kind == "object" && len(t) == 0)
	case json.Number:
		n, ok := new(big.Rat).SetString(t.String())
		return kind == "number" || (kind == "integer" && ok && n.IsInt())
	}
	return luaType(v) == kind
}

// check returns nil, or the first violation in APISIX's words.
func (s *schema) check(v any) error {
	if s.Type != "" && !hasType(v, s.Type) {
		return fmt.Errorf("wrong type: expected %s, got %s", s.Type, luaType(v))
	}
	var err error
	switch t := v.(type) {
	case map[string]any:
		err = s.checkObject(t)
	case []any:
		if err = s.checkArray(t); err == nil && len(t) == 0 {
			err = s.checkObject(nil)
		}
	case string:
		err = s.checkString(t)
	case json.Number:
		err = s.checkNumber(t)
	}
	if err != nil {
		return err
	}
	same := func(value any) bool { return fmt.Sprint(value) == fmt.Sprint(v) }
	if s.Enum != nil && !slices.ContainsFunc(s.Enum, same) {
		return fmt.Errorf("matches none of the enum values")
	}
	return s.combine(v)
}

func (s *schema) checkObject(o map[string]any) error {
	for _, name := range s.Refused {
		if _, given := o[name]; given {
			return notStoodFor("the field " + name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		value, given := o[name]
		if !given && slices.Contains(s.Required, name) {
			return fmt.Errorf("property %q is required", name)
		}
		if !given {
			continue
		}
		if err := s.Properties[name].check(value); err != nil {
			return fmt.Errorf("property %q validation failed: %w", name, err)
		}
	}
	for _, name := range s.Required {
		if _, given := o[name]; !given {
			return fmt.Errorf("property %q is required", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		for pattern, sub := range s.PatternProperties { // ".*", the only one
			if err := sub.check(o[name]); err != nil {
				return fmt.Errorf("failed to validate %s (matching %q): %w", name, pattern, err)
			}
		}
		if s.AdditionalProperties != nil && s.Properties[name] == nil {
			return fmt.Errorf("additional properties forbidden, found %s", name)
		}
	}
	return nil
}

func (s *schema) checkArray(l []any) error {
	if len(l) < s.MinItems {
		return fmt.Errorf("expect array to have at least %d items", s.MinItems)
	}
	for i, item := range l {
		if s.Items != nil {
			if err := s.Items.check(item); err != nil {
				return fmt.Errorf("failed to validate item %d: %w", i+1, err)
			}
		}
		for j := 0; s.UniqueItems && j < i; j++ {
			if reflect.DeepEqual(l[j], item) {
				return fmt.Errorf("expected unique items but items %d and %d are equal", j+1, i+1)
			}
		}
	}
	return nil
}

func (s *schema) checkString(t string) error {
	length := utf8.RuneCountInString(t)
	switch {
	case length < s.MinLength:
		return fmt.Errorf("string too short, expected at least %d, got %d", s.MinLength, length)
	case s.MaxLength > 0 && length > s.MaxLength:
		return fmt.Errorf("string too long, expected at most %d, got %d", s.MaxLength, length)
	case s.Pattern != nil && !s.Pattern.MatchString(t):
		return fmt.Errorf("failed to match pattern %s with %s", strconv.Quote(s.Pattern.String()), strconv.Quote(t))
	}
	return nil
}

func (s *schema) checkNumber(number json.Number) error {
	n, _ := number.Float64()
	switch {
	case s.Minimum != nil && n < *s.Minimum:
		return fmt.Errorf("expected %s to be at least %v", number, *s.Minimum)
	case s.ExclusiveMinimum != nil && n <= *s.ExclusiveMinimum:
		return fmt.Errorf("expected %s to be strictly greater than %v", number, *s.ExclusiveMinimum)
	case s.Maximum != nil && n > *s.Maximum:
		return fmt.Errorf("expected %s to be at most %v", number, *s.Maximum)
	}
	return nil
}

// combine applies the keywords that contain further schemas for the same value.
func (s *schema) combine(v any) error {
	for i, sub := range s.AllOf {
		if err := sub.check(v); err != nil {
			return fmt.Errorf("allOf %d failed: %w", i+1, err)
		}
	}
	passes := func(sub *schema) bool { return sub.check(v) == nil }
	if s.AnyOf != nil && !slices.ContainsFunc(s.AnyOf, passes) {
		var wanted []string
		for _, sub := range s.AnyOf {
			if names, _ := json.Marshal(sub.Required); sub.Required != nil {
				wanted = append(wanted, string(names))
			}
		}
		return fmt.Errorf("object matches none of the required%s", strings.TrimSuffix(": "+strings.Join(wanted, " or "), ": "))
	}
	var matched []int
	for i, sub := range s.OneOf {
		if passes(sub) {
			matched = append(matched, i+1)
		}
	}
	switch {
	case s.OneOf != nil && len(matched) == 0:
		return fmt.Errorf("value should match only one schema, but matches none")
	case len(matched) > 1:
		return fmt.Errorf("value should match only one schema, but matches both schemas %d and %d", matched[0], matched[1])
	case s.If != nil && passes(s.If) && !passes(s.Then):
		return fmt.Errorf("then clause did not match")
	case s.If != nil && !passes(s.If) && !passes(s.Else):
		return fmt.Errorf("else clause did not match")
	}
	return nil
}
