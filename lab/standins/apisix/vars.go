// Route conditions: the part of lua-resty-expr that this project's tests use. The rest is refused when it is stored.
package main

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
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
	list                      []string // of the operator "in"
	pattern                   *regexp.Regexp
}

var operators = strings.Fields("== ~= > >= < <= ~~ ~* in has ipmatch")

// readVars refuses what the real server does not know in that server's words, and what only this one does not know in its own.
func readVars(vars []any) (conditions []condition, err error) {
	for _, one := range vars {
		parts, _ := one.([]any)
		if len(parts) != 3 {
			return nil, notStoodFor(fmt.Sprint("the condition ", one))
		}
		c := condition{variable: text(parts[0]), operator: text(parts[1]), value: text(parts[2])}
		if c.operator != "" && !slices.Contains(operators, strings.ToLower(c.operator)) {
			return nil, refuse(400, "failed to validate the 'vars' expression: invalid operator '%s'", c.operator)
		}
		_, known := c.read(&http.Request{URL: &url.URL{}})
		switch _, isText := parts[2].(string); c.operator {
		case "==", "~=":
			known = known && isText
		case "~~":
			known = known && isText
			if c.pattern, err = regexp.Compile(c.value); err != nil {
				return nil, notStoodFor(fmt.Sprint("the pattern ", c.value))
			}
		case "in":
			list, isList := parts[2].([]any)
			known = known && isList
			for _, item := range list {
				known = known && text(item) != ""
				c.list = append(c.list, text(item))
			}
		default:
			known = false
		}
		if !known {
			return nil, notStoodFor(fmt.Sprint("the condition ", one))
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

// text is empty for what is none.
func text(value any) string {
	written, _ := value.(string)
	return written
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
		return clientSubject(r), true
	case c.variable == "ssl_client_verify":
		return clientVerify(r), true
	}
	return "", false
}

// clientSubject is nginx's $ssl_client_s_dn: empty without a certificate.
func clientSubject(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	var names pkix.RDNSequence // in the certificate's order: Subject has its own
	if _, err := asn1.Unmarshal(r.TLS.PeerCertificates[0].RawSubject, &names); err != nil {
		return ""
	}
	return names.String()
}

// verifiedClient is what clientVariable's map makes of a request: Envoy's form, empty without a verified certificate.
func verifiedClient(r *http.Request) string {
	if clientVerify(r) != "SUCCESS" {
		return ""
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.TLS.PeerCertificates[0].Raw})
	escaped := strings.ReplaceAll(url.QueryEscape(string(leaf)), "+", "%20")
	return fmt.Sprintf(`Subject="%s";Cert="%s"`, clientSubject(r), escaped)
}

// clientCertificate is what client-cert.lua makes of a request: RFC 9440's form, empty without a verified certificate.
func clientCertificate(r *http.Request) string {
	if clientVerify(r) != "SUCCESS" {
		return ""
	}
	return ":" + base64.StdEncoding.EncodeToString(r.TLS.PeerCertificates[0].Raw) + ":"
}

// clientVerify is nginx's $ssl_client_verify. A certificate that did not pass has ended the handshake here.
func clientVerify(r *http.Request) string {
	switch {
	case r.TLS == nil:
		return ""
	case len(r.TLS.VerifiedChains) == 0:
		return "NONE"
	}
	return "SUCCESS"
}

func (c condition) holds(r *http.Request) bool {
	value, _ := c.read(r)
	switch c.operator {
	case "==":
		return value == c.value
	case "~=":
		return value != c.value
	case "in":
		return slices.Contains(c.list, value)
	}
	return c.pattern.MatchString(value)
}
