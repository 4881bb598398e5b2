// TLS versions, suites and curves by their names in nginx.conf, for the gateway and the Admin API alike.
package main

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var versions = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

// defaultCiphers are the real server's.
const defaultCiphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" +
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:" +
	"ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"

// suites are Go's TLS 1.2 suites by OpenSSL's names. Go cannot select TLS 1.3 suites, and neither can ssl_ciphers.
var suites = func() map[string]uint16 {
	openSSL := strings.NewReplacer("TLS_RSA_WITH_", "", "TLS_", "", "_WITH_", "-", "POLY1305_SHA256", "POLY1305",
		"AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
		"3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4", "_", "-")
	byName := map[string]uint16{}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			byName[openSSL.Replace(suite.Name)] = suite.ID
		}
	}
	return byName
}()

// curves are Go's curves by OpenSSL's names. Go has no X448.
var curves = map[string]tls.CurveID{"X25519": tls.X25519, "prime256v1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521}

// defaultCurves are those of the real server's OpenSSL 3.4 defaults that Go has.
var defaultCurves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP521, tls.CurveP384}

func parseCurves(text string) (ids []tls.CurveID, known bool) {
	for _, name := range strings.Split(text, ":") {
		id, ok := curves[name]
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

var suiteName = regexp.MustCompile(`^[A-Z0-9]+([-_][A-Z0-9]+)+$`)

// serverTLS offers these versions, suites and curves and no others; Go picks among them in its own order.
func serverTLS(protocols []string, ciphers string, s snippet) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12,
		CurvePreferences:       defaultCurves,
		SessionTicketsDisabled: s.noSessions,
	}
	if s.curves != nil {
		c.CurvePreferences = s.curves
	}
	for _, name := range protocols {
		version, ok := versions[name]
		if !ok {
			return nil, fmt.Errorf("ssl_protocols: this stand-in knows TLSv1.2 and TLSv1.3, not %q", name)
		}
		c.MinVersion, c.MaxVersion = min(c.MinVersion, version), max(c.MaxVersion, version)
	}
	for _, name := range strings.FieldsFunc(ciphers, func(r rune) bool { return r == ':' || r == ',' }) {
		if !suiteName.MatchString(name) {
			return nil, fmt.Errorf("ssl_ciphers: this stand-in knows OpenSSL's names of suites, not %q", name)
		}
		if id, ok := suites[name]; ok { // OpenSSL skips what it does not know
			c.CipherSuites = append(c.CipherSuites, id)
		}
	}
	if len(c.CipherSuites) == 0 {
		return nil, fmt.Errorf("ssl_ciphers: this stand-in has none of the suites in %q", ciphers)
	}
	return c, nil
}
