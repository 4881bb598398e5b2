// The Admin API: mutual TLS judged per request, the API key, and a store of objects with rules for each kind.
package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cert-manager/cert-manager/lab/standins/clock"
)

const bodyLimit = 1572864

type body = map[string]any

// refusal is any response other than success; without a body it is nginx's page.
type refusal struct {
	status int
	body   body
}

func (r *refusal) Error() string { return fmt.Sprint(r.status, " ", r.body) }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, body{"error_msg": fmt.Sprintf(format, args...)}}
}

func notStoodFor(what string) error { return refuse(501, "stand-in: %s is not implemented", what) }

var keyNotFound = &refusal{404, body{"message": "Key not found"}}

// kind is one Admin API resource.
type kind struct {
	plural, singular string
	schema           *schema // nil: can only be listed, and is always empty
	named            bool    // its objects get ids only from a PUT
}

var kinds = map[string]*kind{
	"global_rules":   {"global_rules", "global rule", schemas["global_rules"], true},
	"plugin_configs": {"plugin_configs", "plugin config", schemas["plugin_configs"], true},
	"routes":         {"routes", "route", schemas["routes"], false},
	"services":       {"services", "service", nil, false},
	"ssls":           {"ssls", "ssl", schemas["ssls"], false},
	"upstreams":      {"upstreams", "upstream", schemas["upstreams"], false},

	"consumer_groups": {"consumer_groups", "consumer group", nil, true},
	"consumers":       {"consumers", "consumer", nil, true},
	"plugin_metadata": {"plugin_metadata", "plugin_metadata", nil, true},
}

// otherKinds are further kinds and endpoints of the real server.
var otherKinds = strings.Fields(`configs credentials plugins protos schema secrets stream_routes`)

func (w *worker) adminAPI(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Server", "openresty")
	if wrong := w.wrongClient(r); wrong != "" {
		errorLog("info", "client %s: %s", r.RemoteAddr, wrong)
		writePage(rw, 400, wrong)
		return
	}
	if callers := w.cfg.admin.callers; callers != nil && !callers.MatchString(clientSubject(r)) {
		writePage(rw, 403, "")
		return
	}
	path, below := strings.CutPrefix(r.URL.Path, "/apisix/admin")
	if !below || (path != "" && path[0] != '/') {
		writePage(rw, 404, "")
		return
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	if !slices.ContainsFunc(w.cfg.Deployment.Admin.AllowAdmin, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) }) {
		writePage(rw, 403, "")
		return
	}
	rw.Header().Set("Server", serverName)
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	if path == "" || !slices.Contains([]string{"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"}, r.Method) {
		writePage(rw, 404, "")
		return
	}
	status, value, err := w.administer(rw, r, path)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.body == nil:
		writePage(rw, refused.status, "")
		return
	case refused != nil:
		status, value = refused.status, refused.body
	case err != nil:
		status, value = 503, body{"error_msg": err.Error()}
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	if value != nil {
		json.NewEncoder(rw).Encode(value)
	}
}

// wrongClient returns what nginx has against the client certificate, or "".
func (w *worker) wrongClient(r *http.Request) string {
	switch peers := r.TLS.PeerCertificates; {
	case w.adminTrust == nil:
		return ""
	case len(peers) == 0:
		return noCert
	case verify(peers, w.adminTrust, x509.ExtKeyUsageClientAuth) != nil:
		return badCert
	}
	return ""
}

// wrongKey returns what is wrong with the API key, or "".
func (w *worker) wrongKey(r *http.Request) string {
	given, ok := r.Header["X-Api-Key"]
	if !ok {
		return "missing apikey"
	}
	for _, k := range w.cfg.Deployment.Admin.Keys {
		if k.Key == given[0] { // a number never equals
			if k.Role == "viewer" && r.Method != "GET" {
				return "invalid method for role viewer"
			}
			return ""
		}
	}
	return "wrong apikey"
}

// administer returns the status and value to respond with. Its errors are refusals, or etcd's.
func (w *worker) administer(rw http.ResponseWriter, r *http.Request, path string) (int, any, error) {
	if wrong := w.wrongKey(r); wrong != "" {
		errorLog("warn", "failed to check token: %s, client: %s", wrong, r.RemoteAddr)
		return 0, nil, &refusal{401, body{"error_msg": "failed to check token", "description": wrong}}
	}
	plural, id, _ := strings.Cut(path[1:], "/")
	k := kinds[plural]
	schemaOf, validating := strings.CutPrefix(path, "/schema/validate/")
	validating = validating && r.Method == "POST"
	if validating {
		k, id = kinds[schemaOf], ""
	}
	switch {
	case k == nil && !slices.Contains(otherKinds, plural):
		return 0, nil, refuse(404, "Unsupported resource type: %s", plural)
	case k == nil, k.schema == nil && (r.Method != "GET" || id != ""):
		return 0, nil, notStoodFor(r.Method + " of " + path)
	case r.URL.RawQuery != "", r.Header["If-Match"] != nil, r.Header["If-None-Match"] != nil:
		return 0, nil, notStoodFor("a query or a condition")
	case r.Method == "PATCH" && strings.Contains(id, "/"):
		return 0, nil, notStoodFor("PATCH of a part")
	}
	var conf body
	if validating || r.Method == "PUT" || r.Method == "PATCH" {
		var err error
		if conf, err = readBody(r); err != nil {
			return 0, nil, err
		}
	}
	if validating {
		return 200, nil, k.validate(conf, "")
	}
	rw.Header().Set("X-API-Version", "v3")
	if k.named && r.Method == "POST" {
		return 0, nil, refuse(405, "not supported `POST` method for %s", k.singular)
	}
	q := &adminRequest{worker: w, ctx: r.Context(), kind: k}
	q.id, _, _ = strings.Cut(id, "/") // what follows is ignored
	switch r.Method {
	case "GET":
		return q.get()
	case "PUT":
		return q.put(conf)
	case "PATCH":
		return q.patch(conf)
	case "DELETE":
		return q.delete()
	}
	return 0, nil, notStoodFor(r.Method)
}

// readBody returns nil if there is no body. A body that is not a table crashes the real server's Lua: 500.
func readBody(r *http.Request) (body, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, refuse(400, "invalid request body: %v", err)
	}
	if len(raw) > bodyLimit {
		return nil, refuse(400, "invalid request body: request size %d is greater than the maximum size %d allowed",
			len(raw), bodyLimit)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	var conf any
	if err := decode(raw, &conf); err != nil {
		return nil, refuse(400, "invalid request body: %v", err)
	}
	if o, ok := conf.(body); ok {
		return o, nil
	}
	if l, ok := conf.([]any); ok && len(l) == 0 { // Lua has one empty table for both
		return body{}, nil
	}
	return nil, &refusal{status: 500}
}

func decode(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// validate applies the kind's schema.
func (k *kind) validate(conf body, prefix string) error {
	err := k.schema.check(conf)
	var refused *refusal
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return refuse(400, "%s%v", prefix, err)
}

// adminRequest is one request to a kind.
type adminRequest struct {
	*worker
	ctx  context.Context
	kind *kind
	id   string
}

func (q *adminRequest) key() string { return q.etcd.key(q.kind.plural, q.id) }

// shown is an object as the API returns it: never with an ssl's private key.
func (q *adminRequest) shown(kv keyValue) (body, error) {
	var value body
	err := decode(kv.Value, &value)
	if q.kind.plural == "ssls" {
		delete(value, "key")
	}
	return body{
		"key": string(kv.Key), "value": value, "createdIndex": kv.CreateRevision, "modifiedIndex": kv.ModRevision,
	}, err
}

func (q *adminRequest) get() (int, any, error) {
	if q.id != "" {
		kv, err := q.etcd.get(q.ctx, q.key())
		if err != nil {
			return 0, nil, err
		}
		if kv == nil {
			return 0, nil, keyNotFound
		}
		one, err := q.shown(*kv)
		return 200, one, err
	}
	kvs, err := q.etcd.list(q.ctx, q.key())
	if err == nil && len(kvs) == 0 { // not even the directory: etcd was wiped while the server ran
		err = keyNotFound
	}
	found := []any{}
	for _, kv := range kvs {
		if string(kv.Key) == q.key() {
			continue
		}
		one, err := q.shown(kv)
		if err != nil {
			return 0, nil, err
		}
		found = append(found, one)
	}
	return 200, body{"total": len(found), "list": found}, err
}

func (q *adminRequest) put(conf body) (int, any, error) {
	if err := q.check(conf); err != nil {
		return 0, nil, err
	}
	now := clock.Now().Unix()
	conf["create_time"], conf["update_time"] = now, now
	previous, err := q.etcd.get(q.ctx, q.key())
	if err != nil {
		return 0, nil, err
	}
	if previous != nil {
		var old body
		if decode(previous.Value, &old); old["create_time"] != nil {
			conf["create_time"] = old["create_time"]
		}
	}
	value, err := json.Marshal(conf)
	if err != nil {
		return 0, nil, err
	}
	existed, err := q.etcd.put(q.ctx, q.key(), value)
	status := 201
	if existed {
		status = 200
	}
	return status, body{"key": q.key(), "value": conf}, err
}

// check validates in the real server's order, and fills in the object.
func (q *adminRequest) check(conf body) error {
	if conf == nil {
		return refuse(400, "missing configurations")
	}
	if q.id == "" {
		return refuse(400, "missing %s id", q.kind.singular)
	}
	if id, given := conf["id"]; given && fmt.Sprint(id) != q.id {
		return refuse(400, "wrong %s id", q.kind.singular)
	}
	conf["id"] = q.id
	for _, field := range []string{"create_time", "update_time"} {
		if _, given := conf[field]; given {
			return refuse(400, "the property is forbidden:  %s", field)
		}
	}
	if q.kind.plural == "routes" && conf["host"] != nil && conf["hosts"] != nil {
		return refuse(400, "only one of host or hosts is allowed")
	}
	if err := q.kind.validate(conf, "invalid configuration: "); err != nil {
		return err
	}
	switch q.kind.plural {
	case "ssls":
		return q.checkSSL(conf)
	case "upstreams":
		return q.checkUpstream(conf)
	case "global_rules":
		return q.checkGlobalRule(conf)
	case "plugin_configs":
		return checkPlugins(conf)
	}
	return q.checkRoute(conf)
}

func (q *adminRequest) checkRoute(conf body) error {
	uris, _ := conf["uris"].([]any)
	for _, uri := range append(uris, conf["uri"]) {
		if text, _ := uri.(string); strings.Contains(text, ":") || strings.Contains(strings.TrimSuffix(text, "*"), "*") {
			return notStoodFor("the pattern " + text)
		}
	}
	vars, _ := conf["vars"].([]any)
	if _, err := readVars(vars); err != nil {
		return err
	}
	if inner, ok := conf["upstream"].(body); ok {
		if err := q.checkUpstream(inner); err != nil {
			return err
		}
	}
	for _, plural := range []string{"upstreams", "plugin_configs"} {
		if id, ok := conf[users[plural]]; ok {
			if _, err := q.referred(kinds[plural], id); err != nil {
				return err
			}
		}
	}
	return checkPlugins(conf)
}

func checkPlugins(conf body) error {
	plugins, _ := conf["plugins"].(body)
	for name := range plugins {
		if !slices.Contains(allPlugins, name) {
			return refuse(400, "unknown plugin [%s]", name)
		}
	}
	return nil
}

// checkGlobalRule refuses a plugin that another rule has.
func (q *adminRequest) checkGlobalRule(conf body) error {
	rules, err := q.etcd.list(q.ctx, q.etcd.key("global_rules", ""))
	if err != nil {
		return err
	}
	plugins, _ := conf["plugins"].(body)
	for _, kv := range rules {
		var other body
		if decode(kv.Value, &other); fmt.Sprint(other["id"]) == q.id {
			continue
		}
		theirs, _ := other["plugins"].(body)
		for name := range plugins {
			if theirs[name] != nil {
				return refuse(400, "plugin '%s' already exists in global rule with id '%v'", name, other["id"])
			}
		}
	}
	return checkPlugins(conf)
}

func (q *adminRequest) checkUpstream(conf body) error {
	if host, _ := conf["upstream_host"].(string); conf["pass_host"] == "rewrite" && host == "" {
		return refuse(400, "`upstream_host` can't be empty when `pass_host` is `rewrite`")
	}
	if files, _ := conf["tls"].(body); files["client_cert_id"] != nil {
		id := files["client_cert_id"]
		object, err := q.referred(kinds["ssls"], id)
		if err != nil {
			return err
		}
		if object["type"] != "client" {
			return refuse(400, "failed to fetch ssl info by ssl id [%v], wrong ssl type", id)
		}
	}
	list, _ := conf["nodes"].([]any)
	for _, one := range list {
		if host, _ := one.(body)["host"].(string); strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return refuse(400, "IPv6 address must be enclosed with '[' and ']'") // from upstream.lua: the schema allows it
		}
	}
	if conf["type"] == "chash" { // a key is not supported here
		return refuse(400, "missing key")
	}
	return nil
}

// referred reads the object that another one refers to.
func (q *adminRequest) referred(k *kind, id any) (object body, err error) {
	what := fmt.Sprintf("failed to fetch %s info by %s id [%v]", k.singular, k.singular, id)
	kv, err := q.etcd.get(q.ctx, q.etcd.key(k.plural, fmt.Sprint(id)))
	switch {
	case err != nil:
		return nil, refuse(400, "%s: %v", what, err)
	case kv == nil:
		return nil, refuse(400, "%s, response code: 404", what)
	}
	return object, decode(kv.Value, &object)
}

// checkSSL parses certificate and key; like the real server, it does not check that they match.
func (q *adminRequest) checkSSL(conf body) error {
	const notParsed = "failed to parse cert: PEM_read_bio_X509_AUX() failed"
	if _, err := parseCertificates([]byte(conf["cert"].(string))); err != nil {
		return refuse(400, notParsed)
	}
	keyring, key := q.cfg.Apisix.DataEncryption.Keyring, conf["key"].(string)
	sealed := !strings.HasPrefix(key, "---") // anything else is taken for ciphertext
	if sealed {
		var err error
		if key, err = keyring.open(key); err != nil {
			return refuse(400, "%v", err)
		}
	}
	if block, _ := pem.Decode([]byte(key)); block == nil {
		return refuse(400, "failed to parse key: PEM_read_bio_PrivateKey() failed")
	}
	if client, ok := conf["client"].(body); ok {
		if _, err := parseCertificates([]byte(client["ca"].(string))); err != nil {
			return refuse(400, "failed to validate client_cert: "+notParsed)
		}
	}
	if !sealed {
		conf["key"] = keyring.seal(key)
	}
	return nil
}

// users are the fields by which routes refer to other kinds.
var users = map[string]string{"upstreams": "upstream_id", "plugin_configs": "plugin_config_id"}

// delete refuses if a route uses the object; the real server lets an ssl in use be deleted.
func (q *adminRequest) delete() (int, any, error) {
	if q.id == "" {
		return 0, nil, refuse(400, "missing %s id", q.kind.singular)
	}
	if field := users[q.kind.plural]; field != "" {
		routes, err := q.etcd.list(q.ctx, q.etcd.key("routes", ""))
		if err != nil {
			return 0, nil, err
		}
		for _, kv := range routes {
			var route body
			if decode(kv.Value, &route); fmt.Sprint(route[field]) == q.id {
				return 0, nil, refuse(400, "can not delete this %s, route [%v] is still using it now", q.kind.singular, route["id"])
			}
		}
	}
	existed, err := q.etcd.delete(q.ctx, q.key())
	if err == nil && !existed {
		err = keyNotFound
	}
	return 200, body{"key": q.key(), "deleted": "1"}, err
}

// allPlugins are those that APISIX 3.18 ships: it stores only names that it knows.
var allPlugins = strings.Fields(`
	acl ai ai-aliyun-content-moderation ai-aws-content-moderation ai-cache ai-lakera-guard ai-prompt-decorator ai-prompt-guard
	ai-prompt-template ai-proxy ai-proxy-multi ai-rag ai-rate-limiting ai-request-rewrite api-breaker attach-consumer-label
	authz-casbin authz-casdoor authz-keycloak aws-lambda azure-functions basic-auth body-transformer cas-auth chaitin-waf
	clickhouse-logger client-control consumer-restriction cors csrf data-mask datadog degraphql dingtalk-auth echo
	elasticsearch-logger example-plugin ext-plugin-post-req ext-plugin-post-resp ext-plugin-pre-req fault-injection feishu-auth
	file-logger forward-auth google-cloud-logging graphql-limit-count graphql-proxy-cache grpc-transcode grpc-web gzip hmac-auth
	http-dubbo http-logger inspect ip-restriction jwe-decrypt jwt-auth kafka-logger kafka-proxy key-auth lago ldap-auth
	ldap-auth-advanced limit-conn limit-count limit-req loggly loki-logger mcp-bridge mocking multi-auth oas-validator opa
	openfunction openid-connect openwhisk prometheus proxy-buffering proxy-cache proxy-control proxy-mirror proxy-rewrite
	public-api real-ip redirect referer-restriction request-id request-validation response-rewrite rocketmq-logger saml-auth
	server-info serverless-post-function serverless-pre-function skywalking-logger sls-logger splunk-hec-logging syslog tcp-logger
	tencent-cloud-cls traffic-label traffic-split ua-restriction udp-logger uri-blocker wolf-rbac workflow zipkin`)
