// The gateway's view of what is in etcd: parsed once when an object changes, then only read.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// kind is one Admin API resource: its name in paths and in messages, its schema, the methods it refuses.
type kind struct {
	plural, singular, title string
	schema                  schema
	refuses                 string
}

var kinds = []*kind{
	{"routes", "route", "route", routeSchema(), ""},
	{"upstreams", "upstream", "upstream", upstreamSchema(), ""},
	{"services", "service", "service", serviceSchema(), ""},
	{"ssls", "ssl", "ssl", sslSchema(), ""},
	{"consumers", "consumer", "consumer", consumerSchema(), "POST PATCH"},
	{"global_rules", "global_rule", "global rule", globalRuleSchema(), "POST"},
	{"plugin_configs", "plugin_config", "plugin config", pluginConfigSchema(), "POST"},
}

// notStoodFor are kinds and endpoints the real server has and this one refuses, saying so.
var notStoodFor = strings.Fields("consumer_groups plugin_metadata protos secrets stream_routes credentials plugins configs")

func kindOf(plural string) *kind {
	for _, k := range kinds {
		if k.plural == plural {
			return k
		}
	}
	return nil
}

// ident is an id, which APISIX takes as a string or as a number.
type ident string

func (i *ident) UnmarshalJSON(b []byte) error {
	*i = ident(bytes.Trim(b, `"`))
	return nil
}

type timeouts struct{ Connect, Send, Read float64 }

type node struct {
	Host   string
	Port   int
	Weight int
}

func (n node) address(scheme string) string {
	port := n.Port
	if port == 0 {
		port = map[string]int{"http": 80, "https": 443}[scheme]
	}
	return net.JoinHostPort(n.Host, strconv.Itoa(port))
}

type upstream struct {
	Nodes        json.RawMessage
	Type         string
	Scheme       string
	PassHost     string `json:"pass_host"`
	UpstreamHost string `json:"upstream_host"`
	Retries      *int
	Timeout      *timeouts
	TLS          struct {
		ClientCert   string `json:"client_cert"`
		ClientKey    string `json:"client_key"`
		ClientCertID ident  `json:"client_cert_id"`
	}
	KeepalivePool struct {
		Size        int
		IdleTimeout float64 `json:"idle_timeout"`
	} `json:"keepalive_pool"`

	nodes       []node
	pair        *tls.Certificate // of an inline client_cert; nil if there is none or it does not fit its key
	unsupported string
	mu          sync.Mutex
	current     []int // smooth weighted round robin
}

type route struct {
	ID             ident
	URI            string
	URIs           []string
	Host           string
	Hosts          []string
	Methods        []string
	Priority       int
	Status         *int
	Upstream       *upstream
	UpstreamID     ident `json:"upstream_id"`
	ServiceID      ident `json:"service_id"`
	PluginConfigID ident `json:"plugin_config_id"`
	Timeout        *timeouts
	Plugins        map[string]any

	unsupported string
}

type service struct {
	Hosts      []string
	Upstream   *upstream
	UpstreamID ident `json:"upstream_id"`
	Plugins    map[string]any

	unsupported string
}

type ssl struct {
	Type      string
	Cert, Key string
	Certs     []string
	Keys      []string
	SNI       string
	SNIs      []string
	Status    *int
	Protocols []string `json:"ssl_protocols"`
	Client    *struct {
		CA    string
		Depth *int
		Skip  []string `json:"skip_mtls_uri_regex"`
	}

	created int64
	pairs   []tls.Certificate
	trust   *trust
	depth   int
	skip    []*regexp.Regexp
	config  *tls.Config // nil where the object is broken: the handshake then fails with internal_error
}

// snapshot is immutable; every change makes a new one.
type snapshot struct {
	objects map[string]any // "routes/1" -> *route and so on
	ranked  []rule         // all routes, best match first
	ssls    []*ssl         // enabled server objects, oldest first
}

type rule struct {
	route  *route
	host   string // "" matches any
	path   string
	prefix bool
}

// unsupported names the first field of a body that this stand-in stores but cannot act on.
func unsupported(kind string, value []byte, supported string) string {
	fields := map[string]any{}
	json.Unmarshal(value, &fields)
	for _, field := range sortedKeys(fields) {
		if !slices.Contains(strings.Fields("id name desc labels create_time update_time "+supported), field) {
			return kind + " field " + field
		}
	}
	return ""
}

func (u *upstream) prepare(value []byte, keys keyring) {
	if u.TLS.ClientCert != "" {
		u.pair = clientPair(u.TLS.ClientCert, u.TLS.ClientKey, keys)
	}
	setDefault(&u.Scheme, "http")
	setDefault(&u.PassHost, "pass")
	u.unsupported = unsupported("upstream", value, "nodes type scheme pass_host upstream_host retries timeout tls keepalive_pool hash_on")
	if u.Scheme != "http" && u.Scheme != "https" {
		u.unsupported = "upstream scheme " + u.Scheme
	}
	if u.Type == "chash" {
		u.unsupported = "upstream type chash"
	}
	byAddress := map[string]int{}
	if json.Unmarshal(u.Nodes, &byAddress) == nil {
		for _, address := range slices.Sorted(maps.Keys(byAddress)) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				host, port = address, "0"
			}
			number, _ := strconv.Atoi(port)
			u.nodes = append(u.nodes, node{host, number, byAddress[address]})
		}
	} else {
		json.Unmarshal(u.Nodes, &u.nodes)
	}
	u.nodes = slices.DeleteFunc(u.nodes, func(n node) bool { return n.Weight == 0 })
	u.current = make([]int, len(u.nodes))
}

// clientPair returns nil where the pair does not fit: nginx then connects without a certificate.
func clientPair(cert, sealed string, keys keyring) *tls.Certificate {
	key, err := keys.open(sealed)
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.X509KeyPair([]byte(cert), []byte(key)); err == nil {
			return &pair
		}
	}
	errorLog("error", "SSL_use_PrivateKey() failed (%v): no client certificate for upstream", err)
	return nil
}

func (s *ssl) prepare(keys keyring, c *config) error {
	if s.SNI != "" {
		s.SNIs = append(s.SNIs, s.SNI)
	}
	for i, cert := range append([]string{s.Cert}, s.Certs...) {
		key, err := keys.open(append([]string{s.Key}, s.Keys...)[i])
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return err
		}
		s.pairs = append(s.pairs, pair)
	}
	protocols := s.Protocols
	if protocols == nil {
		protocols = strings.Fields(c.Apisix.SSL.Protocols)
	}
	config := &tls.Config{Certificates: s.pairs, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, SessionTicketsDisabled: c.server.noSessions}
	if slices.Contains(protocols, "TLSv1.3") {
		config.MaxVersion = tls.VersionTLS13
		if !slices.Contains(protocols, "TLSv1.2") {
			config.MinVersion = tls.VersionTLS13
		}
	}
	if isTrue(c.Apisix.EnableHTTP2, true) {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if s.Client != nil {
		var err error
		if s.trust, err = newTrust([]byte(s.Client.CA)); err != nil {
			return err
		}
		if s.depth = 1; s.Client.Depth != nil {
			s.depth = *s.Client.Depth
		}
		config.ClientCAs, config.ClientAuth = s.trust.pool(s.depth), tls.RequireAndVerifyClientCert
		for _, pattern := range s.Client.Skip { // then the handshake always succeeds and each request is judged
			config.ClientAuth = tls.RequestClientCert
			if re, err := regexp.Compile(pattern); err == nil {
				s.skip = append(s.skip, re)
			}
		}
	}
	s.config = config
	return nil
}

// parse turns one stored object into what the gateway uses; nil for kinds that it does not read.
func parse(key string, kv keyValue, keys keyring, c *config) (any, error) {
	plural, _, _ := strings.Cut(key, "/")
	var inner struct{ Upstream json.RawMessage }
	json.Unmarshal(kv.Value, &inner)
	switch plural {
	case "routes":
		r := &route{}
		if err := json.Unmarshal(kv.Value, r); err != nil {
			return nil, err
		}
		if r.URI != "" {
			r.URIs = append(r.URIs, r.URI)
		}
		if r.Host != "" {
			r.Hosts = append(r.Hosts, r.Host)
		}
		r.unsupported = unsupported("route", kv.Value, "uri uris host hosts methods priority status upstream upstream_id service_id plugin_config_id timeout plugins")
		for _, uri := range r.URIs {
			if strings.Contains(strings.TrimSuffix(uri, "*"), "*") || strings.Contains(uri, ":") {
				r.unsupported = "uri pattern " + uri
			}
		}
		if r.Upstream != nil {
			r.Upstream.prepare(inner.Upstream, keys)
		}
		return r, nil
	case "services":
		s := &service{unsupported: unsupported("service", kv.Value, "hosts upstream upstream_id plugins")}
		if err := json.Unmarshal(kv.Value, s); err != nil {
			return nil, err
		}
		if s.Upstream != nil {
			s.Upstream.prepare(inner.Upstream, keys)
		}
		return s, nil
	case "upstreams":
		u := &upstream{}
		if err := json.Unmarshal(kv.Value, u); err != nil {
			return nil, err
		}
		u.prepare(kv.Value, keys)
		return u, nil
	case "ssls":
		s := &ssl{created: kv.CreateRevision}
		if err := json.Unmarshal(kv.Value, s); err != nil {
			return nil, err
		}
		if err := s.prepare(keys, c); err != nil { // stays in the list, broken: the Admin API accepts mismatched pairs
			errorLog("error", "ssl %s: %v", key, err)
		}
		return s, nil
	case "global_rules", "plugin_configs":
		var p struct{ Plugins map[string]any }
		err := json.Unmarshal(kv.Value, &p)
		return p.Plugins, err
	}
	return nil, nil
}

func newSnapshot(objects map[string]any) *snapshot {
	s := &snapshot{objects: objects}
	for _, o := range objects {
		switch t := o.(type) {
		case *ssl:
			if t.Type != "client" && (t.Status == nil || *t.Status == 1) {
				s.ssls = append(s.ssls, t)
			}
		case *route:
			if t.Status != nil && *t.Status == 0 {
				continue
			}
			hosts := t.Hosts
			if svc, ok := objects["services/"+string(t.ServiceID)].(*service); ok && len(hosts) == 0 {
				hosts = svc.Hosts
			}
			if len(hosts) == 0 {
				hosts = []string{""}
			}
			for _, host := range hosts {
				for _, uri := range t.URIs {
					path, prefix := strings.CutSuffix(uri, "*")
					if i := strings.IndexAny(path, ":*"); i >= 0 {
						path, prefix = path[:i], true
					}
					s.ranked = append(s.ranked, rule{t, strings.ToLower(host), path, prefix})
				}
			}
		}
	}
	sort.Slice(s.ssls, func(i, j int) bool { return s.ssls[i].created < s.ssls[j].created })
	sort.Slice(s.ranked, func(i, j int) bool { return s.ranked[i].before(s.ranked[j]) })
	return s
}

// before ranks: exact host, longest wildcard, any host; exact path, longest prefix; priority; id.
func (a rule) before(b rule) bool {
	wild := func(r rule) bool { return strings.HasPrefix(r.host, "*") }
	switch {
	case (a.host == "") != (b.host == ""):
		return b.host == ""
	case wild(a) != wild(b):
		return wild(b)
	case wild(a) && len(a.host) != len(b.host):
		return len(a.host) > len(b.host)
	case a.prefix != b.prefix:
		return b.prefix
	case len(a.path) != len(b.path):
		return len(a.path) > len(b.path)
	case a.route.Priority != b.route.Priority:
		return a.route.Priority > b.route.Priority
	}
	return a.route.ID < b.route.ID
}

func (s *snapshot) match(method, host, path string) *route {
	for _, r := range s.ranked {
		hostOK := r.host == "" || r.host == host || (strings.HasPrefix(r.host, "*") && strings.HasSuffix(host, r.host[1:]))
		pathOK := r.path == path || (r.prefix && strings.HasPrefix(path, r.path))
		if hostOK && pathOK && (len(r.route.Methods) == 0 || slices.Contains(r.route.Methods, method)) {
			return r.route
		}
	}
	return nil
}

// sslFor finds the object of a server name: exact first, then a wildcard for exactly one label.
func (s *snapshot) sslFor(name string) *ssl {
	_, parent, _ := strings.Cut(name, ".")
	for _, want := range []string{name, "*." + parent, "*"} {
		for _, o := range s.ssls {
			if slices.ContainsFunc(o.SNIs, func(sni string) bool { return strings.EqualFold(sni, want) }) {
				return o
			}
		}
	}
	return nil
}

// backend resolves a route to its upstream; problem names what this stand-in cannot do, status what the real one would answer.
func (s *snapshot) backend(r *route) (u *upstream, status int, problem string) {
	u, problem = r.Upstream, r.unsupported
	plugins := maps.Clone(r.Plugins)
	if plugins == nil {
		plugins = map[string]any{}
	}
	upstreamID := r.UpstreamID
	if r.ServiceID != "" {
		svc, ok := s.objects["services/"+string(r.ServiceID)].(*service)
		if !ok {
			return nil, 404, ""
		}
		setDefault(&problem, svc.unsupported)
		if u == nil && upstreamID == "" {
			u, upstreamID = svc.Upstream, svc.UpstreamID
		}
		maps.Copy(plugins, svc.Plugins)
	}
	if r.PluginConfigID != "" {
		config, ok := s.objects["plugin_configs/"+string(r.PluginConfigID)].(map[string]any)
		if !ok {
			return nil, 503, ""
		}
		maps.Copy(plugins, config)
	}
	for key, o := range s.objects {
		if strings.HasPrefix(key, "global_rules/") {
			maps.Copy(plugins, o.(map[string]any))
		}
	}
	for _, name := range sortedKeys(plugins) {
		setDefault(&problem, fmt.Sprintf("plugin %s", name))
	}
	if upstreamID != "" {
		u, _ = s.objects["upstreams/"+string(upstreamID)].(*upstream)
	}
	if u == nil {
		return nil, 502, problem
	}
	setDefault(&problem, u.unsupported)
	return u, 0, problem
}
