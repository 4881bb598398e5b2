// Talks to etcd over its JSON gateway with mutual TLS, as APISIX does (not gRPC: only so do a CN in the client leaf, a server
// leaf without the clientAuth usage or an IP host fail as they do for the real one).
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
	"sync"
	"time"
)

var errNoEndpoint = errors.New("has no healthy etcd endpoint available")

type etcdClient struct {
	cfg   *config
	http  *http.Client
	mu    sync.Mutex
	token string
	down  map[string]time.Time // host -> until when it counts as unhealthy
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

// newEtcdClient takes the trusted roots as they are on disk now; the client leaf is read again for every connection.
// checkName is false for the probe at start: there the real one checks the chain only.
func newEtcdClient(c *config, checkName bool) (*etcdClient, error) {
	transport := &http.Transport{IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 100, ResponseHeaderTimeout: time.Duration(c.Deployment.Etcd.Timeout) * time.Second,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	if files := c.Deployment.Etcd.TLS; files != nil {
		roots, err := readTrust(c.Apisix.SSL.TrustedCertificate)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{
			ServerName:         files.SNI,
			InsecureSkipVerify: true, // replaced by VerifyConnection: APISIX ignores IP SANs and treats intermediates as OpenSSL does
			VerifyConnection: func(s tls.ConnectionState) error {
				if !isTrue(files.Verify, true) {
					return nil
				}
				if err := roots.verify(s.PeerCertificates, x509.ExtKeyUsageServerAuth, 100); err != nil {
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
		}
	}
	return &etcdClient{cfg: c, http: &http.Client{Transport: transport}, down: map[string]time.Time{}}, nil
}

// start is what `apisix start` does: probe every endpoint, log in, make the directories. Its error ends the process.
func (e *etcdClient) start() error {
	reachable := 0
	for _, host := range e.cfg.Deployment.Etcd.Host {
		for try := 0; ; try++ {
			response, err := e.http.Get(host + "/version")
			if err == nil {
				response.Body.Close()
				reachable++
				break
			}
			if try == e.cfg.Deployment.Etcd.StartupRetry {
				fmt.Printf("request etcd endpoint '%s/version' error, %v\n", host, err)
				break
			}
			fmt.Printf("Warning! Request etcd endpoint '%s/version' error, %v, retry time=%d\n", host, err, try+1)
			time.Sleep(100 * time.Millisecond)
		}
	}
	if reachable == 0 {
		return errors.New("all etcd nodes are unavailable")
	}
	fmt.Println("trying to initialize the data of etcd")
	for _, k := range kinds {
		if _, _, err := e.put(context.Background(), e.key(k.plural)+"/", []byte("init_dir"), 0); err != nil {
			return fmt.Errorf("failed to initialize the data of etcd: %w", err)
		}
	}
	return nil
}

func (e *etcdClient) key(parts ...string) string {
	return e.cfg.Deployment.Etcd.Prefix + "/" + strings.Join(parts, "/")
}

func (e *etcdClient) authenticate(ctx context.Context, host string) error {
	var answer struct{ Token string }
	err := e.post(ctx, host, "/v3/auth/authenticate", map[string]string{"name": e.cfg.Deployment.Etcd.User, "password": e.cfg.Deployment.Etcd.Password}, &answer)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.token = answer.Token
	return err
}

// etcdError is an answer of etcd itself, as opposed to a broken connection.
type etcdError struct{ text string }

func (e etcdError) Error() string { return e.text }

func (e *etcdClient) open(ctx context.Context, host, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", host+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	if e.token != "" && path != "/v3/auth/authenticate" {
		request.Header.Set("Authorization", e.token)
	}
	e.mu.Unlock()
	response, err := e.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == 200 {
		return response, nil
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
	return nil, etcdError{answer.Error}
}

func (e *etcdClient) post(ctx context.Context, host, path string, in, out any) error {
	response, err := e.open(ctx, host, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(out)
}

// withToken logs in first where a user is set, and once more when etcd has forgotten the token (its restart does that).
func (e *etcdClient) withToken(ctx context.Context, host string, do func() error) error {
	for try := 0; ; try++ {
		e.mu.Lock()
		login := e.cfg.Deployment.Etcd.User != "" && e.token == ""
		e.mu.Unlock()
		if login {
			if err := e.authenticate(ctx, host); err != nil {
				return err
			}
		}
		err := do()
		var answered etcdError
		if try > 0 || !errors.As(err, &answered) || !strings.Contains(answered.text, "invalid auth token") {
			return err
		}
		e.mu.Lock()
		e.token = ""
		e.mu.Unlock()
	}
}

// call tries the healthy hosts; one that fails counts as unhealthy for health_check_timeout, so that the next calls fail at once.
func (e *etcdClient) call(ctx context.Context, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(e.cfg.Deployment.Etcd.Timeout)*time.Second)
	defer cancel()
	for _, host := range e.cfg.Deployment.Etcd.Host {
		e.mu.Lock()
		unhealthy := time.Now().Before(e.down[host])
		e.mu.Unlock()
		if unhealthy {
			continue
		}
		var err error
		for try := 0; try < 2; try++ { // the second try takes a fresh connection: a pooled one may be stale
			err = e.withToken(ctx, host, func() error { return e.post(ctx, host, path, in, out) })
			var answered etcdError
			if err == nil || errors.As(err, &answered) {
				return err
			}
			e.http.CloseIdleConnections()
		}
		if ctx.Err() == context.Canceled {
			return err
		}
		e.mu.Lock()
		e.down[host] = time.Now().Add(time.Duration(e.cfg.Deployment.Etcd.HealthCheckTimeout) * time.Second)
		e.mu.Unlock()
		errorLog("warn", "update endpoint: %s to unhealthy: %v", host, err)
	}
	return errNoEndpoint
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
	return out.Kvs, e.call(ctx, "/v3/kv/range", between(prefix), &out)
}

// between is the range of all keys below a prefix that ends in a slash.
func between(prefix string) map[string]any {
	return map[string]any{"key": []byte(prefix), "range_end": []byte(strings.TrimSuffix(prefix, "/") + "0")}
}

func (e *etcdClient) put(ctx context.Context, key string, value []byte, ttl int) (revision int64, existed bool, err error) {
	in := map[string]any{"key": []byte(key), "value": value, "prev_kv": true}
	if ttl > 0 {
		var lease struct{ ID string }
		if err := e.call(ctx, "/v3/lease/grant", map[string]any{"TTL": ttl}, &lease); err != nil {
			return 0, false, err
		}
		in["lease"] = lease.ID
	}
	var out struct {
		Header etcdHeader `json:"header"`
		Prev   *keyValue  `json:"prev_kv"`
	}
	err = e.call(ctx, "/v3/kv/put", in, &out)
	return out.Header.Revision, out.Prev != nil, err
}

// swap writes only if the key is still at the revision it was read at.
func (e *etcdClient) swap(ctx context.Context, key string, value []byte, revision int64) (bool, error) {
	var out struct{ Succeeded bool }
	err := e.call(ctx, "/v3/kv/txn", map[string]any{
		"compare": []any{map[string]any{"key": []byte(key), "target": "MOD", "result": "EQUAL", "mod_revision": fmt.Sprint(revision)}},
		"success": []any{map[string]any{"request_put": map[string]any{"key": []byte(key), "value": value}}},
	}, &out)
	return out.Succeeded, err
}

func (e *etcdClient) delete(ctx context.Context, key string) (bool, error) {
	var out struct{ Deleted string }
	err := e.call(ctx, "/v3/kv/deleterange", map[string]any{"key": []byte(key)}, &out)
	return out.Deleted != "" && out.Deleted != "0", err
}

type etcdEvent struct {
	Type string   `json:"type"` // "DELETE", or empty for a put
	KV   keyValue `json:"kv"`
}

// follow loads everything below the prefix, then watches; whatever breaks, it starts over, so that the gateway heals by itself.
// replace gets a whole state, change gets single events.
func (e *etcdClient) follow(ctx context.Context, replace func([]keyValue), change func([]etcdEvent)) {
	said := ""
	for turn := 0; ctx.Err() == nil; turn++ {
		host := e.cfg.Deployment.Etcd.Host[turn%len(e.cfg.Deployment.Etcd.Host)]
		err := e.withToken(ctx, host, func() error { return e.followHost(ctx, host, replace, change, &said) })
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			errorLog("error", "watchdir err: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (e *etcdClient) followHost(ctx context.Context, host string, replace func([]keyValue), change func([]etcdEvent), said *string) error {
	var all struct {
		Header etcdHeader `json:"header"`
		Kvs    []keyValue `json:"kvs"`
	}
	if err := e.post(ctx, host, "/v3/kv/range", between(e.key("")), &all); err != nil {
		return err
	}
	*said = ""
	replace(all.Kvs)
	next := all.Header.Revision + 1
	for {
		// A watch lives watch_timeout; then the next one may take a new connection, and so meet a changed client leaf.
		limited, cancel := context.WithTimeout(ctx, time.Duration(e.cfg.Deployment.Etcd.WatchTimeout)*time.Second)
		err := e.watch(limited, host, &next, change)
		expired := limited.Err() == context.DeadlineExceeded
		cancel()
		if !expired {
			return err
		}
	}
}

func (e *etcdClient) watch(ctx context.Context, host string, next *int64, change func([]etcdEvent)) error {
	create := between(e.key(""))
	create["start_revision"] = fmt.Sprint(*next)
	response, err := e.open(ctx, host, "/v3/watch", map[string]any{"create_request": create})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	for {
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
			return err
		}
		if message.Result.Canceled || message.Error != nil {
			return etcdError{message.Result.Reason + string(message.Error)}
		}
		if len(message.Result.Events) > 0 {
			change(message.Result.Events)
			*next = message.Result.Header.Revision + 1
		}
	}
}
