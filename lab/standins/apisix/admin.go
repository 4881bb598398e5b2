// The Admin API: mutual TLS judged per request, the API key, and a generic store with rules per kind.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const bodyLimit = 1572864

type body = map[string]any

// refusal is an answer other than success.
type refusal struct {
	status int
	body   any
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, body{"error_msg": fmt.Sprintf(format, args...)}}
}

var keyNotFound = &refusal{404, body{"message": "Key not found"}}

func unavailable(err error) *refusal { return refuse(503, "%v", err) }

func (w *worker) adminAPI() http.Handler {
	cfg := &w.cfg.Deployment.Admin
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Server", "openresty")
		if w.adminTrust != nil {
			info := connectionOf(r)
			info.verify.Do(func() {
				if peers := r.TLS.PeerCertificates; len(peers) == 0 {
					info.refused = noCert
				} else if w.adminTrust.verify(peers, x509.ExtKeyUsageClientAuth, w.adminDepth) != nil {
					info.refused = badCert
				}
			})
			if info.refused != "" {
				errorLog("info", "client %s: %s", r.RemoteAddr, info.refused)
				writePage(rw, 400, info.refused)
				return
			}
		}
		if r.URL.Path != "/apisix/admin" && !strings.HasPrefix(r.URL.Path, "/apisix/admin/") {
			writePage(rw, 404, "")
			return
		}
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		if !slices.ContainsFunc(w.cfg.allow, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) }) {
			writePage(rw, 403, "")
			return
		}
		rw.Header().Set("Server", serverName)
		if isTrue(cfg.EnableCORS, true) {
			rw.Header().Set("Access-Control-Allow-Origin", "*")
		}
		rest := strings.Split(strings.TrimPrefix(r.URL.Path, "/apisix/admin"), "/")
		switch {
		case r.Method == "OPTIONS":
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			return
		case !slices.Contains([]string{"GET", "PUT", "POST", "PATCH", "DELETE"}, r.Method) || len(rest) < 2:
			writePage(rw, 404, "")
			return
		}
		if wrong := w.checkToken(r); wrong != "" {
			errorLog("warn", "failed to check token: %s, client: %s", wrong, r.RemoteAddr)
			answer(rw, r, 401, body{"error_msg": "failed to check token", "description": wrong})
			return
		}
		w.serveKind(rw, r, rest[1:])
	})
}

// checkToken returns what is wrong with the API key, or "".
func (w *worker) checkToken(r *http.Request) string {
	if !isTrue(w.cfg.Deployment.Admin.KeyRequired, true) {
		return ""
	}
	key, given := r.URL.Query().Get("api_key"), r.URL.Query().Has("api_key")
	if cookie, err := r.Cookie("x_api_key"); err == nil && !given {
		key, given = cookie.Value, true
	}
	if values, ok := r.Header["X-Api-Key"]; ok {
		key, given = values[0], true
	}
	if !given {
		return "missing apikey"
	}
	for _, k := range w.cfg.Deployment.Admin.Keys {
		if k.Key == key { // a number never equals
			if k.Role == "viewer" && r.Method != "GET" {
				return "invalid method for role viewer"
			}
			return ""
		}
	}
	return "wrong apikey"
}

func answer(rw http.ResponseWriter, r *http.Request, status int, value any) {
	rw.Header().Set("Content-Type", "application/json")
	if status == 200 { // nginx's own conditional filter runs after the write has happened
		if m := r.Header.Get("If-Match"); m != "" && m != "*" {
			writePage(rw, 412, "")
			return
		}
		if r.Header.Get("If-None-Match") == "*" {
			rw.Header().Del("Content-Type")
			rw.WriteHeader(304)
			return
		}
	}
	rw.Header().Set("Transfer-Encoding", "chunked")
	rw.WriteHeader(status)
	if s, ok := value.(string); ok {
		io.WriteString(rw, s)
	} else {
		rw.Write(append(encode(value), '\n'))
	}
}

func encode(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (w *worker) serveKind(rw http.ResponseWriter, r *http.Request, rest []string) {
	id, sub := "", ""
	if len(rest) > 1 {
		id, sub = rest[1], strings.Join(rest[2:], "/")
	}
	if rest[0] == "schema" {
		status, value := w.schemaEndpoint(r, rest)
		answer(rw, r, status, value)
		return
	}
	k := kindOf(rest[0])
	if k == nil {
		status, text := 404, "Unsupported resource type: "+rest[0]
		if slices.Contains(notStoodFor, rest[0]) {
			status, text = 501, "stand-in: resource type "+rest[0]+" is not implemented"
		}
		answer(rw, r, status, body{"error_msg": text})
		return
	}
	conf, failed := readBody(r)
	if failed != nil {
		if failed.status == 500 {
			writePage(rw, 500, "")
			return
		}
		answer(rw, r, failed.status, failed.body)
		return
	}
	query := r.URL.Query()
	ttl := 0
	if query.Has("ttl") {
		var err error
		if ttl, err = strconv.Atoi(query.Get("ttl")); err != nil {
			answer(rw, r, 400, body{"error_msg": "invalid argument ttl: should be a number"})
			return
		}
	}
	rw.Header().Set("X-API-Version", "v3")
	if strings.Contains(k.refuses, r.Method) {
		answer(rw, r, 405, body{"error_msg": fmt.Sprintf("not supported `%s` method for %s", r.Method, k.title)})
		return
	}
	q := &adminRequest{worker: w, r: r, kind: k, id: id, conf: conf, ttl: ttl}
	var status int
	var value any
	switch r.Method {
	case "GET":
		status, value = q.get(query)
	case "PUT":
		status, value = q.put()
	case "POST":
		status, value = q.post()
	case "PATCH":
		status, value = q.patch(sub)
	case "DELETE":
		status, value = q.delete(query.Get("force") == "true")
	}
	if q.failed != nil {
		status, value = q.failed.status, q.failed.body
	}
	answer(rw, r, status, value)
}

// readBody returns the JSON body; nil means that there is none. Bodies that are not tables crash the real server's Lua: 500.
func readBody(r *http.Request) (any, *refusal) {
	if r.Method == "GET" || r.Method == "DELETE" {
		return nil, nil
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, refuse(400, "invalid request body: %v", err)
	}
	if len(raw) > bodyLimit {
		return nil, refuse(400, "invalid request body: request size %d is greater than the maximum size %d allowed", len(raw), bodyLimit)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var conf any
	if err := decoder.Decode(&conf); err != nil {
		want, at := "value", int64(len(raw))
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = syntax.Offset
			if strings.Contains(err.Error(), "object key") {
				want = "object key string"
			}
		}
		return nil, &refusal{400, body{"error_msg": fmt.Sprintf("invalid request body: Expected %s but found invalid token at character %d", want, at), "req_body": string(raw)}}
	}
	patchesPart := r.Method == "PATCH" && strings.Count(r.URL.Path, "/") > 4
	if luaType(conf) != "table" && !patchesPart {
		return nil, &refusal{status: 500}
	}
	return conf, nil
}

func (w *worker) schemaEndpoint(r *http.Request, rest []string) (int, any) {
	if r.Method == "POST" && len(rest) == 3 && rest[1] == "validate" {
		k := kindOf(rest[2])
		if k == nil {
			return 404, body{"error_msg": "Unsupported resource type: " + rest[2]}
		}
		conf, failed := readBody(r)
		if failed != nil {
			return max(failed.status, 400), failed.body
		}
		if err := check(k.schema, conf); err != nil {
			return 400, body{"error_msg": err.Error()}
		}
		return 200, ""
	}
	for _, k := range kinds {
		if r.Method == "GET" && len(rest) == 2 && rest[1] == k.singular {
			return 200, k.schema
		}
	}
	return 404, body{"error_msg": "stand-in: no schema for " + strings.Join(rest[1:], "/")}
}

// adminRequest is one request to a kind; failed is set by whatever refuses it.
type adminRequest struct {
	*worker
	r      *http.Request
	kind   *kind
	id     string
	conf   any
	ttl    int
	failed *refusal
}

func (q *adminRequest) fail(f *refusal) bool { q.failed = f; return false }

func (q *adminRequest) key(id string) string { return q.etcd.key(q.kind.plural, id) }

// shown is an object as the API returns it; reading never gives an ssl's private keys.
func (q *adminRequest) shown(kv keyValue, read bool) body {
	value, _ := decode(kv.Value)
	out := body{"key": string(kv.Key), "value": value}
	if read {
		out["createdIndex"], out["modifiedIndex"] = kv.CreateRevision, kv.ModRevision
		if q.kind.plural == "ssls" {
			delete(value, "key")
			delete(value, "keys")
		}
	}
	return out
}

func decode(raw []byte) (body, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value body
	return value, decoder.Decode(&value)
}

func (q *adminRequest) get(query url.Values) (int, any) {
	if q.id != "" {
		kv, err := q.etcd.get(q.r.Context(), q.key(q.id))
		if err != nil {
			return 0, q.fail(unavailable(err))
		}
		if kv == nil {
			return 0, q.fail(keyNotFound)
		}
		return 200, q.shown(*kv, true)
	}
	kvs, err := q.etcd.list(q.r.Context(), q.key(""))
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if len(kvs) == 0 { // not even the directory: etcd was emptied under the server
		return 0, q.fail(keyNotFound)
	}
	found := []any{}
	for _, kv := range kvs {
		if string(kv.Key) == q.key("") {
			continue
		}
		if one := q.shown(kv, true); wanted(one["value"].(body), query) {
			found = append(found, one)
		}
	}
	total := len(found)
	if query.Has("page") && query.Has("page_size") {
		page, _ := strconv.Atoi(query.Get("page"))
		size, _ := strconv.Atoi(query.Get("page_size"))
		if size < 10 || size > 500 {
			return 400, "page_size must be between 10 and 500"
		}
		from := min((max(page, 1)-1)*size, total)
		if found = found[from:min(from+size, total)]; len(found) == 0 {
			return 200, body{"total": total, "list": body{}} // an empty Lua table becomes an object
		}
	}
	return 200, body{"total": total, "list": found}
}

// wanted applies the list filters: name and uri by part, label by key, filter by equal fields.
func wanted(value body, query url.Values) bool {
	text := func(field string) string { return fmt.Sprint(value[field]) }
	if name := query.Get("name"); name != "" && (value["name"] == nil || !strings.Contains(text("name"), name)) {
		return false
	}
	if label := query.Get("label"); label != "" {
		if labels, _ := value["labels"].(body); labels[label] == nil {
			return false
		}
	}
	if uri := query.Get("uri"); uri != "" {
		uris := append([]any{value["uri"]}, anyList(value["uris"])...)
		if !slices.ContainsFunc(uris, func(u any) bool { return u != nil && strings.Contains(fmt.Sprint(u), uri) }) {
			return false
		}
	}
	equal, _ := url.ParseQuery(query.Get("filter"))
	for field := range equal {
		if text(field) != equal.Get(field) {
			return false
		}
	}
	return true
}

// checked validates q.conf under id in the real server's order; stamps says whether create_time and update_time may be there.
func (q *adminRequest) checked(id string, needID, stamps bool) (body, bool) {
	if q.conf == nil {
		return nil, q.fail(refuse(400, "missing configurations"))
	}
	conf, ok := q.conf.(body)
	if l, isList := q.conf.([]any); isList && len(l) == 0 {
		conf, ok = body{}, true
	}
	if !ok {
		return nil, q.fail(refuse(400, "invalid configuration: wrong type: expected object, got table"))
	}
	if q.kind.plural != "consumers" {
		inBody, given := conf["id"]
		if id == "" && given {
			id = fmt.Sprint(inBody)
		}
		switch {
		case needID && id == "":
			return nil, q.fail(refuse(400, "missing %s id", q.kind.title))
		case !needID && id != "":
			return nil, q.fail(refuse(400, "wrong %s id, do not need it", q.kind.title))
		case needID && given && fmt.Sprint(inBody) != id:
			return nil, q.fail(refuse(400, "wrong %s id", q.kind.title))
		case needID:
			conf["id"] = id
		}
	}
	for _, field := range []string{"create_time", "update_time"} {
		if _, given := conf[field]; given && !stamps {
			return nil, q.fail(refuse(400, "the property is forbidden:  %s", field))
		}
	}
	for _, pair := range [][2]string{{"host", "hosts"}, {"remote_addr", "remote_addrs"}} {
		if q.kind.plural == "routes" && conf[pair[0]] != nil && conf[pair[1]] != nil {
			return nil, q.fail(refuse(400, "only one of %s or %s is allowed", pair[0], pair[1]))
		}
	}
	if err := check(q.kind.schema, conf); err != nil {
		return nil, q.fail(refuse(400, "invalid configuration: %v", err))
	}
	if name, ok := conf["username"]; ok && id != "" && name != id {
		return nil, q.fail(refuse(400, "wrong username"))
	}
	return conf, q.checkOwnRules(conf)
}

func (q *adminRequest) checkOwnRules(conf body) bool {
	if q.kind.plural == "ssls" {
		return q.checkSSL(conf)
	}
	if q.kind.plural == "upstreams" && !q.checkUpstream(conf) {
		return false
	}
	if inner, ok := conf["upstream"].(body); ok && !q.checkUpstream(inner) {
		return false
	}
	if q.kind.plural != "upstreams" {
		for _, k := range []*kind{kinds[1], kinds[2], kinds[6]} { // upstream, service, plugin config
			ref, ok := conf[k.singular+"_id"]
			if !ok {
				continue
			}
			kv, err := q.etcd.get(q.r.Context(), q.etcd.key(k.plural, fmt.Sprint(ref)))
			if err != nil {
				return q.fail(refuse(400, "failed to fetch %s info by %s id [%v]: %v", k.title, k.title, ref, err))
			}
			if kv == nil {
				return q.fail(refuse(400, "failed to fetch %s info by %s id [%v], response code: 404", k.title, k.title, ref))
			}
		}
	}
	plugins, _ := conf["plugins"].(body)
	for _, name := range sortedKeys(plugins) {
		if !slices.Contains(q.cfg.pluginNames(), name) {
			return q.fail(refuse(400, "unknown plugin [%s]", name))
		}
	}
	return true
}

func (q *adminRequest) checkUpstream(u body) bool {
	if u["pass_host"] == "rewrite" && (u["upstream_host"] == nil || u["upstream_host"] == "") {
		return q.fail(refuse(400, "`upstream_host` can't be empty when `pass_host` is `rewrite`"))
	}
	files, _ := u["tls"].(body)
	if id, ok := files["client_cert_id"]; ok {
		kv, err := q.etcd.get(q.r.Context(), q.etcd.key("ssls", fmt.Sprint(id)))
		if err != nil {
			return q.fail(refuse(400, "failed to fetch ssl info by ssl id [%v]: %v", id, err))
		}
		if kv == nil {
			return q.fail(refuse(400, "failed to fetch ssl info by ssl id [%v], response code: 404", id))
		}
		if object, _ := decode(kv.Value); object["type"] != "client" {
			return q.fail(refuse(400, "failed to fetch ssl info by ssl id [%v], wrong ssl type", id))
		}
	}
	if cert, ok := files["client_cert"].(string); ok {
		if !q.checkPair(cert, files["client_key"].(string)) {
			return false
		}
		files["client_key"] = q.keys().seal(files["client_key"].(string))
	}
	if u["type"] == "chash" && u["key"] == nil && u["hash_on"] != "consumer" {
		return q.fail(refuse(400, "missing key"))
	}
	return true
}

// checkPair parses both; like the real server it does not ask whether they belong together.
func (q *adminRequest) checkPair(cert, key string) bool {
	if _, err := parseCertificates([]byte(cert)); err != nil {
		return q.fail(refuse(400, "failed to parse cert: PEM_read_bio_X509_AUX() failed"))
	}
	plain, err := q.keys().open(key)
	if err != nil {
		return q.fail(refuse(400, "%v", err))
	}
	if block, _ := pem.Decode([]byte(plain)); block == nil {
		return q.fail(refuse(400, "failed to parse key: PEM_read_bio_PrivateKey() failed"))
	}
	return true
}

func (q *adminRequest) checkSSL(conf body) bool {
	if !q.checkPair(conf["cert"].(string), conf["key"].(string)) {
		return false
	}
	if client, ok := conf["client"].(body); ok {
		if _, err := parseCertificates([]byte(client["ca"].(string))); err != nil {
			return q.fail(refuse(400, "failed to validate client_cert: failed to parse cert: PEM_read_bio_X509_AUX() failed"))
		}
	}
	certs, keys := anyList(conf["certs"]), anyList(conf["keys"])
	if len(certs) != len(keys) {
		return q.fail(refuse(400, "mismatched number of certs and keys"))
	}
	for i := range certs {
		if !q.checkPair(certs[i].(string), keys[i].(string)) {
			return false
		}
		keys[i] = q.keys().seal(keys[i].(string))
	}
	conf["key"] = q.keys().seal(conf["key"].(string))
	return true
}

func (q *adminRequest) put() (int, any) {
	conf, ok := q.checked(q.id, true, false)
	if !ok {
		return 0, nil
	}
	id := fmt.Sprint(conf["id"])
	if q.kind.plural == "consumers" {
		id = conf["username"].(string)
	}
	now := json.Number(fmt.Sprint(time.Now().Unix()))
	conf["create_time"], conf["update_time"] = now, now
	previous, err := q.etcd.get(q.r.Context(), q.key(id))
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if previous != nil {
		if old, err := decode(previous.Value); err == nil && old["create_time"] != nil {
			conf["create_time"] = old["create_time"]
		}
	}
	return q.write(id, conf)
}

func (q *adminRequest) write(id string, conf body) (int, any) {
	value := encode(conf)
	_, existed, err := q.etcd.put(q.r.Context(), q.key(id), value, q.ttl)
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if existed {
		return 200, q.shown(keyValue{Key: []byte(q.key(id)), Value: value}, false)
	}
	return 201, q.shown(keyValue{Key: []byte(q.key(id)), Value: value}, false)
}

// post takes its id from the revision of a write to the directory, as APISIX does.
func (q *adminRequest) post() (int, any) {
	conf, ok := q.checked(q.id, false, false)
	if !ok {
		return 0, nil
	}
	revision, _, err := q.etcd.put(q.r.Context(), q.key(""), []byte("init_dir"), 0)
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	id := fmt.Sprintf("%020d", revision)
	now := json.Number(fmt.Sprint(time.Now().Unix()))
	conf["id"], conf["create_time"], conf["update_time"] = id, now, now
	return q.write(id, conf)
}

func (q *adminRequest) patch(sub string) (int, any) {
	if q.id == "" {
		return 0, q.fail(refuse(400, "missing %s id", q.kind.title))
	}
	if q.conf == nil {
		return 0, q.fail(refuse(400, "missing new configuration"))
	}
	old, err := q.etcd.get(q.r.Context(), q.key(q.id))
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if old == nil {
		return 0, q.fail(keyNotFound)
	}
	value, err := decode(old.Value)
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if sub != "" {
		at := value
		steps := strings.Split(strings.Trim(sub, "/"), "/")
		for _, step := range steps[:len(steps)-1] {
			next, ok := at[step].(body)
			if !ok {
				return 0, q.fail(refuse(400, "invalid sub-path: %s", sub))
			}
			at = next
		}
		at[steps[len(steps)-1]] = q.conf
	} else if conf, ok := q.conf.(body); ok {
		merge(value, conf)
	}
	value["update_time"] = json.Number(fmt.Sprint(time.Now().Unix()))
	q.conf = value
	conf, ok := q.checked(q.id, true, true)
	if !ok {
		return 0, nil
	}
	written := encode(conf)
	swapped, err := q.etcd.swap(q.r.Context(), q.key(q.id), written, old.ModRevision)
	if err == nil && !swapped {
		err = errors.New("value changed before overwritten")
	}
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	return 200, q.shown(keyValue{Key: []byte(q.key(q.id)), Value: written}, false)
}

// merge is APISIX's: null removes, objects merge, everything else replaces.
func merge(into, from body) {
	for k, v := range from {
		inner, isObject := v.(body)
		target, hasObject := into[k].(body)
		switch {
		case v == nil:
			delete(into, k)
		case isObject && hasObject && len(target) > 0:
			merge(target, inner)
		default:
			into[k] = v
		}
	}
}

// referrers says who may hold a reference to a kind; an ssl's are not looked at: the real server lets an ssl in use go.
var referrers = map[string][]string{"upstreams": {"routes", "services"}, "services": {"routes"}, "plugin_configs": {"routes"}}

func (q *adminRequest) delete(force bool) (int, any) {
	if q.id == "" {
		return 0, q.fail(refuse(400, "missing %s id", q.kind.title))
	}
	for _, holders := range referrers[q.kind.plural] {
		if force {
			break
		}
		kvs, err := q.etcd.list(q.r.Context(), q.etcd.key(holders)+"/")
		if err != nil {
			return 0, q.fail(unavailable(err))
		}
		for _, kv := range kvs {
			if holder, _ := decode(kv.Value); fmt.Sprint(holder[q.kind.singular+"_id"]) == q.id {
				directly := map[bool]string{true: " directly"}[q.kind.plural == "services"]
				return 0, q.fail(refuse(400, "can not delete this %s%s, %s [%v] is still using it now", q.kind.title, directly, kindOf(holders).title, holder["id"]))
			}
		}
	}
	deleted, err := q.etcd.delete(q.r.Context(), q.key(q.id))
	if err != nil {
		return 0, q.fail(unavailable(err))
	}
	if !deleted {
		return 0, q.fail(keyNotFound)
	}
	return 200, body{"key": q.key(q.id), "deleted": "1"}
}

// pluginNames are those of the `plugins` list, by default all that APISIX 3.18 ships: a name must be known to be stored.
func (c *config) pluginNames() []string {
	if c.Plugins != nil {
		return c.Plugins
	}
	return allPlugins
}

var allPlugins = strings.Fields(`
	acl ai ai-aliyun-content-moderation ai-aws-content-moderation ai-cache ai-lakera-guard ai-prompt-decorator ai-prompt-guard ai-prompt-template ai-proxy
	ai-proxy-multi ai-rag ai-rate-limiting ai-request-rewrite api-breaker attach-consumer-label authz-casbin authz-casdoor authz-keycloak aws-lambda
	azure-functions basic-auth body-transformer cas-auth chaitin-waf clickhouse-logger client-control consumer-restriction cors csrf data-mask datadog
	degraphql dingtalk-auth echo elasticsearch-logger example-plugin ext-plugin-post-req ext-plugin-post-resp ext-plugin-pre-req fault-injection feishu-
	auth file-logger forward-auth google-cloud-logging graphql-limit-count graphql-proxy-cache grpc-transcode grpc-web gzip hmac-auth http-dubbo http-
	logger inspect ip-restriction jwe-decrypt jwt-auth kafka-logger kafka-proxy key-auth lago ldap-auth ldap-auth-advanced limit-conn limit-count limit-
	req loggly loki-logger mcp-bridge mocking multi-auth oas-validator opa openfunction openid-connect openwhisk prometheus proxy-buffering proxy-cache
	proxy-control proxy-mirror proxy-rewrite public-api real-ip redirect referer-restriction request-id request-validation response-rewrite rocketmq-
	logger saml-auth server-info serverless-post-function serverless-pre-function skywalking-logger sls-logger splunk-hec-logging syslog tcp-logger
	tencent-cloud-cls traffic-label traffic-split ua-restriction udp-logger uri-blocker wolf-rbac workflow zipkin`)
