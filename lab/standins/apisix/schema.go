// The JSON schemas of the kinds this program uses, and a validator that words its errors as APISIX's (api7/jsonschema) does.
package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

type schema = map[string]any

func text(min, max int) schema    { return schema{"type": "string", "minLength": min, "maxLength": max} }
func matching(p string) schema    { return schema{"type": "string", "pattern": p} }
func integer(extra ...any) schema { return with(schema{"type": "integer"}, extra...) }
func boolean() schema             { return schema{"type": "boolean"} }
func list(items schema, extra ...any) schema {
	return with(schema{"type": "array", "items": items}, extra...)
}
func object(properties schema, extra ...any) schema {
	return with(schema{"type": "object", "properties": properties}, extra...)
}
func closed(properties schema, extra ...any) schema {
	for _, stamp := range []string{"create_time", "update_time"} {
		properties[stamp] = integer()
	}
	return with(object(properties, "additionalProperties", false), extra...)
}
func required(names ...any) schema { return schema{"required": names} }
func oneOf(schemas ...any) schema  { return schema{"oneOf": schemas} }
func choice(kind string, values ...any) schema {
	return schema{"type": kind, "enum": values}
}

// with adds key, value pairs to a schema.
func with(s schema, extra ...any) schema {
	for i := 0; i+1 < len(extra); i += 2 {
		s[extra[i].(string)] = extra[i+1]
	}
	return s
}

func idSchema() schema {
	return schema{"anyOf": []any{with(text(1, 64), "pattern", `^[a-zA-Z0-9-_.]+$`), integer("minimum", 1)}}
}
func hostSchema() schema { return matching(`^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$`) }
func nameSchema() schema { return text(1, 256) }
func descSchema() schema { return schema{"type": "string", "maxLength": 256} }
func labelsSchema() schema {
	return schema{"type": "object", "patternProperties": schema{".*": with(text(1, 256), "pattern", `^\S+$`)}}
}
func timeoutSchema() schema {
	positive := func() schema { return schema{"type": "number", "exclusiveMinimum": 0} }
	return object(schema{"connect": positive(), "send": positive(), "read": positive()}, "required", []any{"connect", "send", "read"})
}
func methodSchema() schema {
	return choice("string", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE")
}

func upstreamSchema() schema {
	weight := func() schema { return integer("minimum", 0) }
	return closed(schema{
		"id": idSchema(), "name": nameSchema(), "desc": descSchema(), "labels": labelsSchema(), "checks": schema{"type": "object"},
		"nodes": schema{"anyOf": []any{
			schema{"type": "object", "patternProperties": schema{".*": weight()}},
			list(object(schema{"host": hostSchema(), "port": integer("minimum", 1, "maximum", 65535), "weight": weight(), "priority": integer("default", 0),
				"metadata": schema{"type": "object"}}, "required", []any{"host", "weight"}))}},
		"retries": weight(), "retry_timeout": schema{"type": "number", "minimum": 0}, "timeout": timeoutSchema(),
		"tls": object(schema{"client_cert": text(128, 65536), "client_key": text(64, 65536), "client_cert_id": idSchema(), "verify": with(boolean(), "default", false)},
			"dependencies", schema{"client_cert": required("client_key"), "client_key": required("client_cert"), "client_cert_id": schema{"not": required("client_cert", "client_key")}}),
		"keepalive_pool": object(schema{"size": integer("minimum", 1, "default", 320), "idle_timeout": schema{"type": "number", "minimum": 0, "default": 60}, "requests": integer("minimum", 1, "default", 1000)}),
		"type":           schema{"type": "string", "default": "roundrobin"}, "hash_on": with(choice("string", "vars", "header", "cookie", "consumer", "vars_combinations"), "default", "vars"),
		"key": schema{"type": "string"}, "scheme": schema{"default": "http", "enum": []any{"grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka"}},
		"pass_host": with(choice("string", "pass", "node", "rewrite"), "default", "pass"), "upstream_host": hostSchema(),
		"service_name": nameSchema(), "discovery_type": schema{"type": "string"},
		"discovery_args": object(schema{"namespace_id": schema{"type": "string"}, "group_name": schema{"type": "string"}}),
	}, "oneOf", []any{required("nodes"), required("service_name", "discovery_type")})
}

func addressSchema() schema {
	octet := `([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])`
	return schema{"type": "string", "anyOf": []any{schema{"type": "string", "format": "ipv4"}, matching(`^` + strings.Repeat(octet+`\.`, 3) + octet + `/([12]?[0-9]|3[0-2])$`),
		schema{"type": "string", "format": "ipv6"}, matching(`^([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?/[0-9]{1,3}$`)}}
}

func routeSchema() schema {
	either := func(a, b string) schema {
		return oneOf(schema{"not": schema{"anyOf": []any{required(a), required(b)}}}, required(a), required(b))
	}
	targets := []any{}
	for _, uri := range []string{"uri", "uris"} {
		for _, target := range []string{"plugins", "upstream", "upstream_id", "service_id"} {
			targets = append(targets, required(target, uri))
		}
	}
	targets = append(targets, required("script", "uri"), required("script", "uris"))
	return closed(schema{
		"id": idSchema(), "name": nameSchema(), "desc": descSchema(), "labels": labelsSchema(), "status": with(choice("integer", 1, 0), "default", 1),
		"uri": text(1, 4096), "uris": list(schema{"type": "string"}, "minItems", 1, "uniqueItems", true), "priority": integer("default", 0),
		"methods": list(methodSchema(), "uniqueItems", true), "host": hostSchema(), "hosts": list(hostSchema(), "minItems", 1, "uniqueItems", true),
		"remote_addr": addressSchema(), "remote_addrs": list(addressSchema(), "minItems", 1, "uniqueItems", true),
		"timeout": timeoutSchema(), "vars": schema{"type": "array"}, "filter_func": schema{"type": "string", "minLength": 10, "pattern": "^function"},
		"script": text(10, 102400), "script_id": idSchema(), "plugins": schema{"type": "object"}, "plugin_config_id": idSchema(), "upstream": upstreamSchema(),
		"upstream_id": idSchema(), "service_id": idSchema(), "enable_websocket": boolean(),
	}, "allOf", []any{oneOf(required("uri"), required("uris")), either("host", "hosts"), either("remote_addr", "remote_addrs")},
		"anyOf", targets, "not", schema{"anyOf": []any{required("script", "plugins"), required("script", "plugin_config_id")}})
}

func serviceSchema() schema {
	return closed(schema{"id": idSchema(), "name": nameSchema(), "desc": descSchema(), "labels": labelsSchema(), "plugins": schema{"type": "object"}, "upstream": upstreamSchema(),
		"upstream_id": idSchema(), "script": text(10, 102400), "enable_websocket": boolean(), "hosts": list(hostSchema(), "minItems", 1, "uniqueItems", true)})
}

func sslSchema() schema {
	return closed(schema{"id": idSchema(), "type": with(choice("string", "server", "client"), "default", "server"), "desc": descSchema(), "labels": labelsSchema(),
		"cert": text(128, 65536), "key": text(64, 65536), "certs": list(text(128, 65536)), "keys": list(text(64, 65536)), "sni": hostSchema(), "snis": list(hostSchema(), "minItems", 1),
		"client": object(schema{"ca": text(128, 65536), "depth": integer("minimum", 0, "default", 1),
			"skip_mtls_uri_regex": list(schema{"type": "string"}, "minItems", 1, "uniqueItems", true)}, "required", []any{"ca"}),
		"status": with(choice("integer", 1, 0), "default", 1), "ssl_protocols": list(schema{"enum": []any{"TLSv1.1", "TLSv1.2", "TLSv1.3"}}, "maxItems", 3, "uniqueItems", true),
	}, "if", schema{"properties": schema{"type": schema{"enum": []any{"server"}}}},
		"then", oneOf(required("sni", "key", "cert"), required("snis", "key", "cert")), "else", required("key", "cert"))
}

func consumerSchema() schema {
	return closed(schema{"id": idSchema(), "username": with(text(1, 256), "pattern", `^[a-zA-Z0-9_\-]+$`), "group_id": idSchema(), "plugins": schema{"type": "object"}, "labels": labelsSchema(),
		"desc": descSchema()}, "required", []any{"username"})
}

func globalRuleSchema() schema {
	return closed(schema{"id": idSchema(), "plugins": schema{"type": "object"}}, "required", []any{"id", "plugins"})
}

func pluginConfigSchema() schema {
	return closed(schema{"id": idSchema(), "name": schema{"type": "string"}, "desc": descSchema(), "labels": labelsSchema(), "plugins": schema{"type": "object"}}, "required", []any{"id", "plugins"})
}

// ---------- validator

var patterns sync.Map

func matches(pattern, s string) bool {
	re, ok := patterns.Load(pattern)
	if !ok {
		re, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return re.(*regexp.Regexp).MatchString(s)
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
func check(s schema, v any) error {
	if kind, ok := s["type"].(string); ok && !hasType(v, kind) {
		return fmt.Errorf("wrong type: expected %s, got %s", kind, luaType(v))
	}
	if o, ok := v.(map[string]any); ok {
		if err := checkObject(s, o); err != nil {
			return err
		}
	} else if l, ok := v.([]any); ok && len(l) == 0 {
		if err := checkObject(s, map[string]any{}); err != nil {
			return err
		}
	}
	if err := checkValue(s, v); err != nil {
		return err
	}
	if values, ok := s["enum"].([]any); ok {
		found := false
		for _, value := range values {
			found = found || (fmt.Sprint(value) == fmt.Sprint(v) && luaType(v) != "table")
		}
		if !found {
			return fmt.Errorf("matches none of the enum values")
		}
	}
	return combine(s, v)
}

func checkObject(s schema, o map[string]any) error {
	properties, _ := s["properties"].(schema)
	dependencies, _ := s["dependencies"].(schema)
	must := map[string]bool{}
	for _, name := range anyList(s["required"]) {
		must[name.(string)] = true
	}
	for _, name := range sortedKeys(properties) {
		value, present := o[name]
		if !present {
			if must[name] {
				return fmt.Errorf("property %q is required", name)
			}
			continue
		}
		if err := check(properties[name].(schema), value); err != nil {
			return fmt.Errorf("property %q validation failed: %w", name, err)
		}
		if dependency, ok := dependencies[name].(schema); ok {
			if err := check(dependency, o); err != nil {
				return fmt.Errorf("failed to validate dependent schema for %q: %w", name, err)
			}
		}
	}
	for _, name := range anyList(s["required"]) {
		if _, present := o[name.(string)]; !present {
			return fmt.Errorf("property %q is required", name)
		}
	}
	patterned, _ := s["patternProperties"].(schema)
	for _, name := range sortedKeys(o) {
		known := properties[name] != nil
		for pattern, sub := range patterned {
			if matches(pattern, name) {
				known = true
				if err := check(sub.(schema), o[name]); err != nil {
					return fmt.Errorf("failed to validate %s (matching %q): %w", name, pattern, err)
				}
			}
		}
		if !known && s["additionalProperties"] == false {
			return fmt.Errorf("additional properties forbidden, found %s", name)
		}
	}
	return nil
}

func checkValue(s schema, v any) error {
	switch t := v.(type) {
	case []any:
		if min, ok := s["minItems"].(int); ok && len(t) < min {
			return fmt.Errorf("expect array to have at least %d items", min)
		}
		if max, ok := s["maxItems"].(int); ok && len(t) > max {
			return fmt.Errorf("expect array to have at most %d items", max)
		}
		if items, ok := s["items"].(schema); ok {
			for i, item := range t {
				if err := check(items, item); err != nil {
					return fmt.Errorf("failed to validate item %d: %w", i+1, err)
				}
			}
		}
		for j := range t {
			for i := 0; i < j && s["uniqueItems"] == true; i++ {
				if reflect.DeepEqual(t[i], t[j]) {
					return fmt.Errorf("expected unique items but items %d and %d are equal", i+1, j+1)
				}
			}
		}
	case string:
		length := utf8.RuneCountInString(t)
		if min, ok := s["minLength"].(int); ok && length < min {
			return fmt.Errorf("string too short, expected at least %d, got %d", min, length)
		}
		if max, ok := s["maxLength"].(int); ok && length > max {
			return fmt.Errorf("string too long, expected at most %d, got %d", max, length)
		}
		if pattern, ok := s["pattern"].(string); ok && !matches(pattern, t) {
			return fmt.Errorf("failed to match pattern %s with %s", strconv.Quote(pattern), strconv.Quote(t))
		}
		if format, ok := s["format"].(string); ok {
			addr, err := netip.ParseAddr(t)
			if err != nil || addr.Is4() != (format == "ipv4") {
				return fmt.Errorf("expected valid %s address, got %q", format, t)
			}
		}
	case json.Number:
		n, _ := t.Float64()
		if min, ok := s["minimum"].(int); ok && n < float64(min) {
			return fmt.Errorf("expected %s to be at least %d", t, min)
		}
		if min, ok := s["exclusiveMinimum"].(int); ok && n <= float64(min) {
			return fmt.Errorf("expected %s to be strictly greater than %d", t, min)
		}
		if max, ok := s["maximum"].(int); ok && n > float64(max) {
			return fmt.Errorf("expected %s to be at most %d", t, max)
		}
	}
	return nil
}

func combine(s schema, v any) error {
	for i, sub := range anyList(s["allOf"]) {
		if err := check(sub.(schema), v); err != nil {
			return fmt.Errorf("allOf %d failed: %w", i+1, err)
		}
	}
	if subs := anyList(s["anyOf"]); subs != nil {
		ok, wanted := false, []string{}
		for _, sub := range subs {
			ok = ok || check(sub.(schema), v) == nil
			if names := sub.(schema)["required"]; names != nil {
				list, _ := json.Marshal(names)
				wanted = append(wanted, string(list))
			}
		}
		if !ok && len(wanted) == len(subs) {
			return fmt.Errorf("object matches none of the required: %s", strings.Join(wanted, " or "))
		} else if !ok {
			return fmt.Errorf("object matches none of the required")
		}
	}
	matched := 0
	for i, sub := range anyList(s["oneOf"]) {
		if check(sub.(schema), v) == nil {
			if matched > 0 {
				return fmt.Errorf("value should match only one schema, but matches both schemas %d and %d", matched, i+1)
			}
			matched = i + 1
		}
	}
	if s["oneOf"] != nil && matched == 0 {
		return fmt.Errorf("value should match only one schema, but matches none")
	}
	if not, ok := s["not"].(schema); ok && check(not, v) == nil {
		return fmt.Errorf("value wasn't supposed to match schema")
	}
	if condition, ok := s["if"].(schema); ok {
		branch := "else"
		if check(condition, v) == nil {
			branch = "then"
		}
		if sub, ok := s[branch].(schema); ok && check(sub, v) != nil {
			return fmt.Errorf("%s clause did not match", branch)
		}
	}
	return nil
}

func anyList(v any) []any { l, _ := v.([]any); return l }

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
