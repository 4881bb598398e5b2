// Route conditions: the part of lua-resty-expr that this project's tests use. The rest is refused when it is stored.
package main

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// condition is one of a route's vars, all of which must hold.
type condition struct {
	variable, operator, value string
	pattern                   *regexp.Regexp
}

var operators = strings.Fields("== ~= > >= < <= ~~ ~* in has ipmatch")

// readVars refuses what the real server does not know in that server's words, and what only this one does not know in its own.
func readVars(vars []any) (conditions []condition, err error) {
	for _, one := range vars {
		parts, isList := one.([]any)
		var words []string
		for _, part := range parts {
			if word, ok := part.(string); ok {
				words = append(words, word)
			}
		}
		switch {
		case !isList || len(words) != 3 || len(parts) != 3:
			return nil, notStoodFor(fmt.Sprint("the condition ", one))
		case !slices.Contains(operators, strings.ToLower(words[1])):
			return nil, refuse(400, "failed to validate the 'vars' expression: invalid operator '%s'", words[1])
		}
		c := condition{variable: words[0], operator: words[1], value: words[2]}
		if _, known := c.read(&http.Request{URL: &url.URL{}}); !known || !slices.Contains([]string{"==", "~=", "~~"}, c.operator) {
			return nil, notStoodFor(fmt.Sprint("the condition ", one))
		}
		if c.operator == "~~" {
			if c.pattern, err = regexp.Compile(c.value); err != nil {
				return nil, notStoodFor(fmt.Sprint("the pattern ", c.value))
			}
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

// read returns the variable's value, and whether it is known here.
func (c condition) read(r *http.Request) (string, bool) {
	kind, name, _ := strings.Cut(c.variable, "_")
	switch {
	case kind == "http":
		return r.Header.Get(strings.ReplaceAll(name, "_", "-")), true
	case kind == "arg":
		return r.URL.Query().Get(name), true
	case c.variable == "request_uri":
		return r.RequestURI, true
	case c.variable == "uri":
		return r.URL.Path, true
	case c.variable == "ssl_client_s_dn":
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return "", true
		}
		var names pkix.RDNSequence // in the certificate's order: Subject has its own
		_, err := asn1.Unmarshal(r.TLS.PeerCertificates[0].RawSubject, &names)
		return names.String(), err == nil
	}
	return "", false
}

func (c condition) holds(r *http.Request) bool {
	value, _ := c.read(r)
	switch c.operator {
	case "==":
		return value == c.value
	case "~=":
		return value != c.value
	}
	return c.pattern.MatchString(value)
}
