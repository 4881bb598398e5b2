// Talks to etcd over its JSON gateway with mutual TLS, as APISIX does (not gRPC, where a CN in the client leaf, a server leaf
// without the clientAuth usage or an IP host would not fail as they do for the real one).
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

var errNoEndpoint = errors.New("has no healthy etcd endpoint available")

// Defaults of deployment.etcd keys that are not implemented.
const (
	watchTimeout = 50 * time.Second
	startupRetry = 2
)

const signIn = "/v3/auth/authenticate"

type etcdClient struct {
	cfg       *etcdConfig
	http      *http.Client
	token     atomic.Pointer[string] // good for every member
	endpoints []*endpoint
}

type endpoint struct {
	url       string
	downUntil atomic.Pointer[time.Time] // nil while it counts as healthy
}

func (p *endpoint) isDown() bool {
	until := p.downUntil.Load()
	return until != nil && time.Now().Before(*until)
}

type keyValue struct {
	Key            []byte `json:"key"`
	Value          []byte `json:"value"`
	CreateRevision int64  `json:"create_revision,string"`
	ModRevision    int64  `json:"mod_revision,string"`
}

type etcdHeader struct {
	Revision int64 `json:"revision,string"`
}

type etcdEvent struct {
	Type string   `json:"type"` // "DELETE", or empty for a put
	KV   keyValue `json:"kv"`
}

// etcdError is an error response from etcd itself, as opposed to a broken connection.
type etcdError string

func (e etcdError) Error() string { return string(e) }

// newEtcdClient reads the trusted roots from disk once, and the client leaf for every connection.
// checkName is false for the probe at start, where the real server checks only the chain.
func newEtcdClient(c *config, checkName bool) (*etcdClient, error) {
	e := &etcdClient{cfg: &c.Deployment.Etcd}
	for _, url := range e.cfg.Host {
		e.endpoints = append(e.endpoints, &endpoint{url: url})
	}
	files := e.cfg.TLS
	roots, err := readTrust(c.Apisix.SSL.TrustedCertificate, 100)
	if err != nil {
		return nil, err
	}
	e.http = &http.Client{Transport: &http.Transport{
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   100,
		ResponseHeaderTimeout: e.timeout(),
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
		TLSClientConfig: &tls.Config{
			ServerName:         files.SNI,
			InsecureSkipVerify: true, // replaced by VerifyConnection: APISIX ignores IP SANs
			VerifyConnection: func(s tls.ConnectionState) error {
				if err := verify(s.PeerCertificates, roots, x509.ExtKeyUsageServerAuth); err != nil {
					return err
				}
				if checkName && (s.ServerName == "" || s.PeerCertificates[0].VerifyHostname(s.ServerName) != nil) {
					return errors.New("certificate host mismatch")
				}
				return nil
			},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if files.Cert == "" {
					return &tls.Certificate{}, nil
				}
				pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
				return &pair, err
			},
		},
	}}
	return e, nil
}

func (e *etcdClient) timeout() time.Duration { return time.Duration(e.cfg.Timeout) * time.Second }

// start does what `apisix start` does: probe the endpoints, log in, create the directories. An error ends the process.
func (e *etcdClient) start() error {
	answered := 0
	for _, p := range e.endpoints {
		if e.probe(p.url + "/version") {
			answered++
		}
	}
	if answered == 0 {
		return errors.New("all etcd nodes are unavailable")
	}
	fmt.Println("trying to initialize the data of etcd")
	for plural := range kinds {
		if _, err := e.put(context.Background(), e.key(plural, ""), []byte("init_dir")); err != nil {
			return fmt.Errorf("failed to initialize the data of etcd: %w", err)
		}
	}
	return nil
}

func (e *etcdClient) probe(url string) bool {
	for try := 1; ; try++ {
		response, err := e.http.Get(url)
		if err == nil {
			response.Body.Close()
			return true
		}
		if try > startupRetry {
			fmt.Printf("request etcd endpoint '%s' error, %v\n", url, err)
			return false
		}
		fmt.Printf("Warning! Request etcd endpoint '%s' error, %v, retry time=%d\n", url, err, try)
		time.Sleep(100 * time.Millisecond)
	}
}

func (e *etcdClient) key(parts ...string) string {
	return e.cfg.Prefix + "/" + strings.Join(parts, "/")
}

// open sends one request, with a token if a user is set.
func (e *etcdClient) open(ctx context.Context, p *endpoint, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if e.cfg.User != "" && path != signIn {
		token := e.token.Load()
		if token == nil {
			var answer struct{ Token string }
			user := map[string]string{"name": e.cfg.User, "password": e.cfg.Password}
			if err := e.post(ctx, p, signIn, user, &answer); err != nil {
				return nil, err
			}
			token = &answer.Token
			e.token.Store(token)
		}
		request.Header.Set("Authorization", *token)
	}
	response, err := e.http.Do(request)
	if err != nil || response.StatusCode == 200 {
		return response, err
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode == 503 {
		return nil, fmt.Errorf("invalid response code: 503 %s", bytes.TrimSpace(text))
	}
	var answer struct{ Error, Message string }
	json.Unmarshal(text, &answer)
	setDefault(&answer.Error, answer.Message)
	setDefault(&answer.Error, fmt.Sprintf("invalid response code: %d", response.StatusCode))
	return nil, etcdError(answer.Error)
}

func (e *etcdClient) post(ctx context.Context, p *endpoint, path string, in, out any) error {
	response, err := e.open(ctx, p, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(out)
}

// call asks the healthy endpoints in turn; one that fails is skipped for health_check_timeout.
func (e *etcdClient) call(ctx context.Context, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout())
	defer cancel()
	for _, p := range e.endpoints {
		if p.isDown() {
			continue
		}
		err := e.callTwice(ctx, p, path, in, out)
		var answered etcdError
		if err == nil || errors.As(err, &answered) || ctx.Err() == context.Canceled {
			return err
		}
		until := time.Now().Add(time.Duration(e.cfg.HealthCheckTimeout) * time.Second)
		p.downUntil.Store(&until)
		errorLog("warn", "update endpoint: %s to unhealthy: %v", p.url, err)
	}
	return errNoEndpoint
}

// callTwice retries once with a new token and a new connection: a restart of etcd invalidates both.
func (e *etcdClient) callTwice(ctx context.Context, p *endpoint, path string, in, out any) (err error) {
	for range 2 {
		err = e.post(ctx, p, path, in, out)
		var answered etcdError
		if err == nil || (errors.As(err, &answered) && !strings.Contains(string(answered), "invalid auth token")) {
			return err
		}
		e.token.Store(nil)
		e.http.CloseIdleConnections()
	}
	return err
}

func (e *etcdClient) get(ctx context.Context, key string) (*keyValue, error) {
	var out struct{ Kvs []keyValue }
	if err := e.call(ctx, "/v3/kv/range", map[string]any{"key": []byte(key)}, &out); err != nil || len(out.Kvs) == 0 {
		return nil, err
	}
	return &out.Kvs[0], nil
}

func (e *etcdClient) list(ctx context.Context, prefix string) ([]keyValue, error) {
	var out struct{ Kvs []keyValue }
	err := e.call(ctx, "/v3/kv/range", between(prefix), &out)
	return out.Kvs, err
}

// between is the range of all keys below a prefix that ends in a slash.
func between(prefix string) map[string]any {
	return map[string]any{"key": []byte(prefix), "range_end": []byte(strings.TrimSuffix(prefix, "/") + "0")}
}

func (e *etcdClient) put(ctx context.Context, key string, value []byte) (existed bool, err error) {
	var out struct {
		Prev *keyValue `json:"prev_kv"`
	}
	err = e.call(ctx, "/v3/kv/put", map[string]any{"key": []byte(key), "value": value, "prev_kv": true}, &out)
	return out.Prev != nil, err
}

func (e *etcdClient) delete(ctx context.Context, key string) (existed bool, err error) {
	var out struct{ Deleted string }
	err = e.call(ctx, "/v3/kv/deleterange", map[string]any{"key": []byte(key)}, &out)
	return out.Deleted != "" && out.Deleted != "0", err
}

// follow loads everything below the prefix, then watches; on any failure it starts over, so that the gateway heals by itself.
// change first gets the whole state as events, then single ones.
func (e *etcdClient) follow(ctx context.Context, change func(events []etcdEvent, whole bool)) {
	said := ""
	for n := 0; ctx.Err() == nil; n++ {
		p := e.endpoints[n%len(e.endpoints)]
		revision, err := e.load(ctx, p, change)
		if err == nil {
			said = ""
		}
		for err == nil {
			revision, err = e.watch(ctx, p, revision, change)
		}
		e.token.Store(nil) // etcd may have forgotten it
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			errorLog("error", "watchdir err: %v", err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// load returns the revision of what it loaded.
func (e *etcdClient) load(ctx context.Context, p *endpoint, change func(events []etcdEvent, whole bool)) (int64, error) {
	var all struct {
		Header etcdHeader `json:"header"`
		Kvs    []keyValue `json:"kvs"`
	}
	err := e.post(ctx, p, "/v3/kv/range", between(e.key("")), &all)
	if err == nil {
		events := make([]etcdEvent, len(all.Kvs))
		for i, kv := range all.Kvs {
			events[i].KV = kv
		}
		change(events, true)
	}
	return all.Header.Revision, err
}

// watch lasts for watch_timeout; the next one may use a new connection, and with it a renewed client leaf.
func (e *etcdClient) watch(ctx context.Context, p *endpoint, revision int64, change func([]etcdEvent, bool)) (int64, error) {
	limited, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	create := between(e.key(""))
	create["start_revision"] = fmt.Sprint(revision + 1)
	response, err := e.open(limited, p, "/v3/watch", map[string]any{"create_request": create})
	if err != nil {
		return revision, err
	}
	defer response.Body.Close()
	for decoder := json.NewDecoder(response.Body); ; {
		var message struct {
			Result struct {
				Header   etcdHeader  `json:"header"`
				Events   []etcdEvent `json:"events"`
				Canceled bool        `json:"canceled"`
				Reason   string      `json:"cancel_reason"`
			} `json:"result"`
			Error json.RawMessage `json:"error"`
		}
		if err := decoder.Decode(&message); err != nil {
			if limited.Err() == context.DeadlineExceeded {
				err = nil
			}
			return revision, err
		}
		if message.Result.Canceled || message.Error != nil {
			return revision, etcdError(message.Result.Reason + string(message.Error))
		}
		if len(message.Result.Events) > 0 {
			change(message.Result.Events, false)
			revision = message.Result.Header.Revision
		}
	}
}
