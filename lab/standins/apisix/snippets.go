// The nginx.conf snippets in config.yaml: the directives known here, and nothing else.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// snippet is the union of the nginx directives known here, with nginx's defaults.
type snippet struct {
	noSessions    bool // ssl_session_cache off: neither TLS 1.2 nor 1.3 resumes
	curves        []tls.CurveID
	keepaliveTime time.Duration
	proxyTrusted  string
	proxyVerify   bool
	proxyDepth    int
	proxyCert     string
	proxyKey      string
	headers       []inputHeader
	certificate   string         // variable that set_by_lua_file sets to RFC 9440's form of the client's certificate
	callers       *regexp.Regexp // of the Admin API, by subject; nil: every client of its CA
	refusesPlain  bool           // ends requests as the map of plain HTTP says
}

// inputHeader is what more_set_input_headers does to requests: without a variable, or if it is empty, the header is removed.
type inputHeader struct {
	name, variable string
	value          func(*http.Request) string
}

// ofTemplate are directives that APISIX's template already puts into the same block and nginx takes only once.
var ofTemplate = []string{"ssl_session_tickets", "ssl_ciphers", "ssl_prefer_server_ciphers"}

func (c *config) parseSnippets() error {
	withoutPlain, err := c.parsePlain(c.Nginx.HTTPSnippet)
	if err != nil {
		return err
	}
	variable, forwarded, err := parseMaps(withoutPlain)
	if err != nil {
		return err
	}
	files := c.Deployment.Admin.MTLS
	if c.adminLeaf, err = newLeaf(files.Cert, files.Key, variable); err != nil {
		return err
	}
	c.server = snippet{keepaliveTime: time.Hour, proxyTrusted: c.Apisix.SSL.TrustedCertificate, proxyDepth: 1}
	c.admin = c.server
	if err := c.server.parse("http_server_configuration_snippet", c.Nginx.ServerSnippet); err != nil {
		return err
	}
	c.location = c.server
	if err := c.location.parse("http_server_location_configuration_snippet", c.Nginx.LocationSnippet); err != nil {
		return err
	}
	for i, h := range c.location.headers {
		switch h.variable {
		case "":
			c.location.headers[i].value = func(*http.Request) string { return "" }
		case forwarded:
			c.location.headers[i].value = verifiedClient
		case c.location.certificate:
			c.location.headers[i].value = clientCertificate
		default:
			return fmt.Errorf("nginx: [emerg] unknown %q variable", h.variable)
		}
	}
	if c.location.proxyCert != "" || c.location.proxyKey != "" {
		shown, err := newLeaf(c.location.proxyCert, c.location.proxyKey, variable)
		if err == nil && !shown.live {
			err = errors.New("this stand-in knows proxy_ssl_certificate and its key only with a variable in their paths")
		}
		if err != nil {
			return err
		}
		c.upstreamLeaf = &shown
	}
	return c.admin.parse("http_admin_configuration_snippet", c.Nginx.AdminSnippet)
}

func (s *snippet) parse(where, text string) (err error) {
	inLocation, inAdmin := strings.Contains(where, "location"), strings.Contains(where, "admin")
	if found := subjectCheck.FindStringSubmatch(text); found != nil && inAdmin {
		if s.callers, err = regexp.Compile(found[1]); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		text = strings.Replace(text, found[0], "", 1)
	}
	if found := strings.Index(text, plainIfs); found >= 0 && !inLocation && !inAdmin {
		s.refusesPlain, text = true, strings.Replace(text, plainIfs, "", 1)
	}
	for _, statement := range strings.Split(text, ";") {
		words := strings.Fields(statement)
		if len(words) == 0 {
			continue
		}
		directive, value := words[0], strings.Join(words[1:], " ")
		known := true
		switch {
		case slices.Contains(ofTemplate, directive) || (directive == "proxy_ssl_trusted_certificate" && !inLocation && !inAdmin):
			return fmt.Errorf("nginx: [emerg] %q directive is duplicate: %s, the template has one", directive, where)
		case directive == "ssl_session_cache" && value == "off" && !inLocation:
			s.noSessions = true
		case directive == "ssl_ecdh_curve" && !inLocation && s.curves != nil:
			return fmt.Errorf("nginx: [emerg] %q directive is duplicate: %s", directive, where)
		case directive == "ssl_ecdh_curve" && !inLocation:
			s.curves, known = parseCurves(value)
		case directive == "keepalive_time" && !inLocation:
			s.keepaliveTime, err = time.ParseDuration(value) // nginx's units s and m mean the same in Go
		case directive == "proxy_ssl_trusted_certificate" && inLocation:
			s.proxyTrusted = value
		case directive == "proxy_ssl_certificate" && inLocation:
			s.proxyCert = value
		case directive == "proxy_ssl_certificate_key" && inLocation:
			s.proxyKey = value
		case directive == "more_set_input_headers" && inLocation:
			found := headerOf.FindStringSubmatch(value)
			if known = found != nil; known {
				s.headers = append(s.headers, inputHeader{name: found[1], variable: found[2]})
			}
		case directive == "set_by_lua_file" && inLocation && len(words) == 3:
			if err := onlyClientCertificate(words[2]); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			s.certificate = strings.TrimPrefix(words[1], "$")
		case directive == "proxy_ssl_verify" && !inAdmin:
			s.proxyVerify, known = value == "on", value == "on" || value == "off"
		case directive == "proxy_ssl_verify_depth" && !inAdmin:
			s.proxyDepth, err = strconv.Atoi(value)
		default:
			known = false
		}
		if err != nil || !known {
			return fmt.Errorf("%s: this stand-in does not know the directive or value %q", where, strings.Join(words, " "))
		}
	}
	return nil
}

// subjectCheck refuses clients by subject, in the server's rewrite phase: after the certificate, before APISIX.
var subjectCheck = regexp.MustCompile(`if \(\$ssl_client_s_dn !~ "([^"]+)"\) \{ return 403; \}`)

// luaDigest is of components/client-cert.lua, the one program that this stand-in knows: it does in Go what that does in Lua.
const luaDigest = "bb25abab214984ca8c73cd7b54ec98ef01bc7592886e54e3fe3a86f6ffed98bb"

func onlyClientCertificate(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if digest := fmt.Sprintf("%x", sha256.Sum256(text)); digest != luaDigest {
		return fmt.Errorf("this stand-in knows one program in Lua, by its digest, and %s has another: %s", path, digest)
	}
	return nil
}

var headerOf = regexp.MustCompile(`^"([\w-]+): (?:\$(\w+))?"$`)

var emptyVariable = regexp.MustCompile(`map\s+\$host\s+\$(\w+)\s*\{\s*default\s+"";\s*\}`)

var clientVariable = regexp.MustCompile(`map\s+\$ssl_client_verify\s+\$(\w+)\s*\{\s*default\s+"";\s*` +
	`SUCCESS\s+'Subject="\$ssl_client_s_dn";Cert="\$ssl_client_escaped_cert"';\s*\}`)

// parseMaps knows two maps in http_configuration_snippet: one that defines an empty variable, and one that describes a verified client.
func parseMaps(text string) (empty, client string, err error) {
	rest := text
	for _, known := range []struct {
		pattern *regexp.Regexp
		name    *string
	}{{emptyVariable, &empty}, {clientVariable, &client}} {
		if found := known.pattern.FindStringSubmatch(rest); found != nil {
			*known.name, rest = found[1], strings.Replace(rest, found[0], "", 1)
		}
	}
	if strings.TrimSpace(rest) != "" {
		err = fmt.Errorf("http_configuration_snippet: this stand-in knows only a map of $host to an empty variable, "+
			"and one of $ssl_client_verify to a verified client's subject and certificate, not %q", text)
	}
	return empty, client, err
}

// plainIfs are the conditions in http_server_configuration_snippet that act on the map of plain HTTP.
const plainIfs = "if ($plain_http = 403) { return 403; }\nif ($plain_http = 308) { return 308 https://$host$request_uri; }"

var plainMap = regexp.MustCompile(`map "\$scheme:\$host" \$plain_http \{ default 403; "~\^https:" "";(( "~\^http:[\w\\.-]+\\z" (""|308);)*) \}`)

var plainHost = regexp.MustCompile(`"~\^http:([\w\\.-]+)\\z" (""|308);`)

// parsePlain knows a third map, of what becomes of a request without TLS by its host, and returns the text without it.
func (c *config) parsePlain(text string) (string, error) {
	found := plainMap.FindStringSubmatch(text)
	if found == nil {
		if strings.Contains(c.Nginx.ServerSnippet, plainIfs) {
			return "", errors.New(`nginx: [emerg] unknown "plain_http" variable`)
		}
		return text, nil
	}
	c.plain = map[string]int{}
	for _, host := range plainHost.FindAllStringSubmatch(found[1], -1) {
		c.plain[strings.ReplaceAll(host[1], `\.`, ".")], _ = strconv.Atoi(host[2])
	}
	return strings.Replace(text, found[0], "", 1), nil
}

// endsPlain is the status that a request without TLS ends with, 0 if it goes on. host is nginx's $host.
func (c *config) endsPlain(host string) int {
	if !c.server.refusesPlain {
		return 0
	}
	if status, named := c.plain[host]; named {
		return status
	}
	return 403
}
