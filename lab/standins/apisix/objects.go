// The gateway's view of etcd's content: parsed once when an object changes, then only read.
package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cert-manager/cert-manager/lab/standins/clock"
)

// ident is an id, which APISIX accepts as string or number.
type ident string

func (i *ident) UnmarshalJSON(b []byte) error {
	*i = ident(bytes.Trim(b, `"`))
	return nil
}

// timeouts are in seconds.
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
	return net.JoinHostPort(strings.Trim(n.Host, "[]"), strconv.Itoa(port)) // an IPv6 address comes in brackets
}

// nodes come as a list, or as weights by address. Those of weight 0 are left out.
type nodes []node

func (n *nodes) UnmarshalJSON(b []byte) error {
	var all []node
	weights := map[string]int{}
	if json.Unmarshal(b, &weights) == nil {
		for _, address := range slices.Sorted(maps.Keys(weights)) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				host, port = address, "0"
			}
			number, _ := strconv.Atoi(port)
			all = append(all, node{host, number, weights[address]})
		}
	} else if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*n = slices.DeleteFunc(all, func(one node) bool { return one.Weight == 0 })
	return nil
}

// pool says how many idle connections to keep for how many seconds; requests per connection are not counted here. 0: default.
type pool struct {
	Size        int
	IdleTimeout float64 `json:"idle_timeout"`
}

type upstream struct {
	Nodes        nodes
	Scheme       string
	PassHost     string `json:"pass_host"`
	UpstreamHost string `json:"upstream_host"`
	Retries      *int
	RetryTimeout float64 `json:"retry_timeout"` // in seconds; 0 is none
	Timeout      *timeouts
	Checks       json.RawMessage
	Pool         pool `json:"keepalive_pool"`
	TLS          struct {
		ClientCertID ident `json:"client_cert_id"`
	}

	turns atomic.Int64
}

type route struct {
	ID         ident
	URI        string
	URIs       []string
	Host       string
	Hosts      []string
	Methods    []string
	Priority   int
	Status     *int
	Upstream   *upstream
	UpstreamID ident `json:"upstream_id"`
	Timeout    *timeouts
	ConfigID   ident `json:"plugin_config_id"`
	WebSocket  bool  `json:"enable_websocket"`
	Vars       []any
	plugged

	conditions []condition
}

// plugged is anything with plugins.
type plugged struct {
	Plugins map[string]json.RawMessage

	headers map[string]string // headers.set of the plugin response-rewrite
	abort   *abort            // of the plugin fault-injection
	problem string            // what is not implemented
}

// abort is an answer of the gateway's own.
type abort struct {
	Status int `json:"http_status"`
	Body   string
}

type ssl struct {
	Type      string
	Cert, Key string
	SNIs      []string
	Status    *int
	Protocols []string `json:"ssl_protocols"`
	Client    *struct {
		CA    string
		Depth *int
	}

	created int64
	pair    *tls.Certificate // nil if certificate and key do not match
	config  *tls.Config      // nil if the object is broken: handshakes then fail with internal_error
}

// parse returns nil for what the gateway does not read.
func (w *worker) parse(key string, kv keyValue) (any, error) {
	var object any
	switch plural, _, _ := strings.Cut(key, "/"); plural {
	case "routes":
		object = &route{}
	case "upstreams":
		object = &upstream{}
	case "ssls":
		object = &ssl{created: kv.CreateRevision}
	case "global_rules", "plugin_configs":
		object = &plugged{}
	default:
		return nil, nil
	}
	if err := json.Unmarshal(kv.Value, object); err != nil {
		return nil, err
	}
	switch t := object.(type) {
	case *upstream:
		if t.Checks != nil {
			errorLog("warn", "stand-in: the health checks of %s are stored, and not run", key)
		}
	case *route:
		t.readPlugins()
		var err error
		if t.conditions, err = readVars(t.Vars); err != nil {
			return nil, err
		}
	case *plugged:
		t.readPlugins()
	case *ssl:
		if broken := t.prepare(w.cfg); broken != nil { // kept: the Admin API accepts mismatched pairs
			errorLog("error", "ssl %s: %v", key, broken)
		}
	}
	return object, nil
}

// readPlugins knows headers.set of response-rewrite and abort of fault-injection, without variables, and nothing else.
func (p *plugged) readPlugins() {
	for name, raw := range p.Plugins {
		known := !bytes.ContainsRune(raw, '$')
		switch name {
		case "response-rewrite":
			var rewrite struct {
				Headers struct{ Set map[string]string }
			}
			known = strictly(raw, &rewrite) && rewrite.Headers.Set != nil && known
			p.headers = rewrite.Headers.Set
		case "fault-injection":
			var fault struct{ Abort *abort }
			known = strictly(raw, &fault) && fault.Abort != nil && fault.Abort.Status >= 200 && known
			p.abort = fault.Abort
		default:
			known = false
		}
		if !known {
			p.problem = "the plugin " + name + " with these settings"
		}
	}
}

// strictly says whether a plugin's settings have these fields and no others.
func strictly(raw json.RawMessage, settings any) bool {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(settings) == nil
}

// after returns what a route does with a global rule before it, or with a plugin config: if both set a header, the route's wins.
func (r *route) after(rule *plugged) *route {
	both := *r
	both.headers = maps.Clone(rule.headers)
	if both.headers == nil {
		both.headers = r.headers
	} else {
		maps.Copy(both.headers, r.headers)
	}
	both.abort = cmp.Or(rule.abort, r.abort)
	both.problem = cmp.Or(r.problem, rule.problem)
	return &both
}

// without returns the plugins that a route does not configure itself: of those, only the route's own run.
func (p *plugged) without(own map[string]json.RawMessage) *plugged {
	rest := &plugged{Plugins: maps.Clone(p.Plugins)}
	maps.DeleteFunc(rest.Plugins, func(name string, _ json.RawMessage) bool { return own[name] != nil })
	rest.readPlugins()
	return rest
}

func (s *ssl) prepare(c *config) error {
	key, err := c.Apisix.DataEncryption.Keyring.open(s.Key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(key))
	if err != nil {
		return err
	}
	s.pair = &pair
	protocols := s.Protocols
	setDefaultList(&protocols, strings.Fields(c.Apisix.SSL.Protocols)...)
	config, err := serverTLS(protocols, c.Apisix.SSL.Ciphers, c.server)
	if err != nil {
		return err
	}
	config.Certificates = []tls.Certificate{pair}
	config.NextProtos = []string{"h2", "http/1.1"}
	config.Time = clock.Now
	if s.Client != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		depth := *cmp.Or(s.Client.Depth, new(1))
		if config.ClientCAs, err = newTrust([]byte(s.Client.CA), depth); err != nil {
			return err
		}
	}
	s.config = config
	return nil
}

// snapshot is immutable; every change makes a new one.
type snapshot struct {
	objects map[string]any // "routes/1" -> *route etc.
	ranked  []rule         // all routes, best match first
	ssls    []*ssl         // enabled server objects, oldest first
}

type rule struct {
	route  *route
	host   string // "" matches any
	path   string
	prefix bool
}

func newSnapshot(objects map[string]any) *snapshot {
	s := &snapshot{objects: maps.Clone(objects)}
	var everywhere []*plugged // only where a route matches; the real one runs them everywhere
	for key, object := range objects {
		if strings.HasPrefix(key, "global_rules/") {
			everywhere = append(everywhere, object.(*plugged))
		}
	}
	enabled := func(status *int) bool { return status == nil || *status == 1 }
	for _, o := range objects {
		switch t := o.(type) {
		case *ssl:
			if t.Type != "client" && enabled(t.Status) {
				s.ssls = append(s.ssls, t)
			}
		case *route:
			if enabled(t.Status) {
				if shared, ok := objects["plugin_configs/"+string(t.ConfigID)].(*plugged); ok {
					t = t.after(shared.without(t.Plugins))
				}
				for _, rule := range everywhere {
					t = t.after(rule)
				}
				s.ranked = append(s.ranked, t.rules()...)
			}
		}
	}
	slices.SortFunc(s.ssls, func(a, b *ssl) int { return cmp.Compare(a.created, b.created) })
	slices.SortFunc(s.ranked, compareRules)
	return s
}

func (r *route) rules() (rules []rule) {
	hosts, uris := r.Hosts, r.URIs
	setDefaultList(&hosts, r.Host)
	setDefaultList(&uris, r.URI)
	for _, host := range hosts {
		for _, uri := range uris {
			path, prefix := strings.CutSuffix(uri, "*")
			rules = append(rules, rule{r, strings.ToLower(host), path, prefix})
		}
	}
	return rules
}

// compareRules ranks: exact host, longest wildcard, any host; exact path, longest prefix; priority; id.
func compareRules(a, b rule) int {
	hostRank := func(r rule) int {
		switch {
		case r.host == "":
			return 0
		case r.host[0] == '*':
			return len(r.host)
		}
		return 1000
	}
	pathRank := func(r rule) int {
		if r.prefix {
			return len(r.path)
		}
		return 10000
	}
	return cmp.Or(
		hostRank(b)-hostRank(a),
		pathRank(b)-pathRank(a),
		b.route.Priority-a.route.Priority,
		cmp.Compare(a.route.ID, b.route.ID),
	)
}

func (s *snapshot) match(request *http.Request, host, path string) *route {
	for _, r := range s.ranked {
		wild := strings.HasPrefix(r.host, "*") && strings.HasSuffix(host, r.host[1:])
		hostFits := r.host == "" || r.host == host || wild
		pathFits := r.path == path || (r.prefix && strings.HasPrefix(path, r.path))
		methodFits := len(r.route.Methods) == 0 || slices.Contains(r.route.Methods, request.Method)
		fails := func(c condition) bool { return !c.holds(request) }
		if hostFits && pathFits && methodFits && !slices.ContainsFunc(r.route.conditions, fails) {
			return r.route
		}
	}
	return nil
}

// sslFor finds the object for a server name: an exact match first, then a wildcard for exactly one label.
func (s *snapshot) sslFor(name string) *ssl {
	_, parent, _ := strings.Cut(name, ".")
	for _, want := range []string{name, "*." + parent} {
		for _, o := range s.ssls {
			if slices.ContainsFunc(o.SNIs, func(sni string) bool { return strings.EqualFold(sni, want) }) {
				return o
			}
		}
	}
	return nil
}
