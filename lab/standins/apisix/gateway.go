// The gateway: picks the ssl object by SNI, the route by host and path, and proxies, verifying upstreams as the snippets say.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"slices"
	"strings"
	"time"
)

// gatewayTLS picks the configuration per handshake; an error here becomes the alert internal_error, as in the real gateway.
func (w *worker) gatewayTLS(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	object := w.live().sslFor(hello.ServerName)
	if object != nil && object.config != nil {
		return object.config, nil
	}
	errorLog("error", "failed to match any SSL certificate by SNI: %s, client: %s", hello.ServerName, hello.Conn.RemoteAddr())
	return nil, errors.New("no ssl object")
}

func (w *worker) gateway(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Server", serverName)
	if plain := strings.TrimSuffix(hostOnly(strings.ToLower(r.Host)), "."); r.TLS == nil {
		switch status := w.cfg.endsPlain(plain); status {
		case 0:
		case 308:
			rw.Header().Set("Location", "https://"+plain+r.URL.RequestURI())
			fallthrough
		default:
			writePage(rw, status, "")
			return
		}
	}
	// In nginx's rewrite phase, before APISIX looks for a route.
	for _, h := range w.cfg.location.headers {
		r.Header.Del(h.name)
		if value := h.value(r); value != "" {
			r.Header.Set(h.name, value)
		}
	}
	live, host := w.live(), hostOnly(strings.ToLower(r.Host))
	// APISIX checks again per request: under mutual TLS, SNI and Host must be equal, byte by byte.
	if object := live.sslFor(host); r.TLS != nil && object != nil && object.Client != nil && r.TLS.ServerName != host {
		writePage(rw, 400, "")
		return
	}
	uri := path.Clean("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") && uri != "/" {
		uri += "/"
	}
	route := live.match(r, host, uri)
	if route == nil {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.WriteHeader(404)
		io.WriteString(rw, `{"error_msg":"404 Route Not Found"}`+"\n")
		return
	}
	if route.abort != nil && route.problem == "" {
		for name, value := range route.headers {
			rw.Header().Set(name, value)
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.WriteHeader(route.abort.Status)
		io.WriteString(rw, route.abort.Body)
		return
	}
	up, problem := route.Upstream, route.problem
	if route.UpstreamID != "" {
		up, _ = live.objects["upstreams/"+string(route.UpstreamID)].(*upstream)
	}
	switch {
	case problem != "":
	case up == nil: // deleted just now
		writePage(rw, 502, "")
		return
	case up.Scheme != "" && up.Scheme != "http" && up.Scheme != "https":
		problem = "the upstream scheme " + up.Scheme
	}
	if problem != "" {
		http.Error(rw, "stand-in: "+problem+" is not implemented", 500)
		return
	}
	if !route.WebSocket {
		r.Header.Del("Upgrade")
	}
	passage{w, live, route, up}.proxy().ServeHTTP(rw, r)
}

func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

var errNoNode = errors.New("failed to set upstream: no valid upstream node")

// passage is one request's way to its upstream.
type passage struct {
	*worker
	live     *snapshot
	route    *route
	upstream *upstream
}

func (p passage) proxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: p,
		ErrorLog:  errorOut,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Server", serverName)
			for name, value := range p.route.headers {
				r.Header.Set(name, value)
			}
			if r.StatusCode >= 500 {
				r.Header.Set("X-APISIX-Upstream-Status", fmt.Sprint(r.StatusCode))
			}
			return nil
		},
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			status := 502
			var timeout net.Error
			var dns *net.DNSError
			var unread *leafError
			if errors.As(err, &dns) || errors.Is(err, errNoNode) {
				status = 503
			} else if errors.As(err, &timeout) && timeout.Timeout() {
				status = 504
			} else if errors.As(err, &unread) {
				status = 500
			}
			errorLog("error", "%v while connecting to upstream, client: %s, request: %q, host: %q",
				err, r.RemoteAddr, r.Method+" "+r.URL.Path, r.Host)
			if status == 502 || status == 504 {
				rw.Header().Set("X-APISIX-Upstream-Status", fmt.Sprint(status))
			}
			writePage(rw, status, "")
		},
	}
}

// RoundTrip tries the upstream's nodes: by default each once, and only while the request cannot have taken effect.
func (p passage) RoundTrip(r *http.Request) (*http.Response, error) {
	u := p.upstream
	scheme := u.Scheme
	setDefault(&scheme, "http")
	tries := 1 + *cmp.Or(u.Retries, new(len(u.Nodes)-1))
	replayable := r.Body == nil || r.Body == http.NoBody
	err := errNoNode
	begin, limit := time.Now(), seconds(u.RetryTimeout)
	var left []node
	for try := 0; try < tries && len(u.Nodes) > 0; try++ {
		if len(left) == 0 {
			left = slices.Clone(u.Nodes)
		}
		n := u.next(left)
		left = slices.DeleteFunc(left, func(one node) bool { return one == n })
		r.URL.Scheme, r.URL.Host = scheme, n.address(scheme)
		switch u.PassHost {
		case "rewrite":
			r.Host = u.UpstreamHost
		case "node":
			r.Host = strings.TrimSuffix(r.URL.Host, map[string]string{"http": ":80", "https": ":443"}[scheme])
		}
		var transport *http.Transport
		if transport, err = p.transport(scheme, hostOnly(r.Host)); err != nil {
			return nil, err
		}
		var response *http.Response
		if response, err = transport.RoundTrip(r); err == nil {
			return response, nil
		}
		var dial *net.OpError
		unsent := errors.As(err, &dial) && dial.Op == "dial"
		late := limit > 0 && time.Since(begin) >= limit
		if late || r.Context().Err() != nil || !(replayable || unsent) {
			break
		}
	}
	return nil, err
}

// next is weighted round robin over the remaining nodes.
func (u *upstream) next(left []node) node {
	total := 0
	for _, n := range left {
		total += n.Weight
	}
	at := int(u.turns.Add(1)) % total
	for _, n := range left {
		if at -= n.Weight; at < 0 {
			return n
		}
	}
	return node{} // not reached
}

// poolKey identifies a pool of upstream connections: those made with another certificate are not reused.
type poolKey struct {
	scheme, name, certificate, key string
	limits                         timeouts
	pool                           pool
}

// transport returns the pool for a server name.
func (p passage) transport(scheme, name string) (*http.Transport, error) {
	shown := &ssl{}
	if id := p.upstream.TLS.ClientCertID; id != "" {
		var ok bool
		if shown, ok = p.live.objects["ssls/"+string(id)].(*ssl); !ok {
			return nil, fmt.Errorf("failed to fetch ssl info by ssl id [%s]", id)
		}
	}
	limits := *cmp.Or(p.route.Timeout, p.upstream.Timeout, &timeouts{60, 60, 60})
	key := poolKey{scheme, name, shown.Cert, shown.Key, limits, p.upstream.Pool}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pools[key] == nil {
		p.pools[key] = p.newPool(name, shown.pair, limits, p.upstream.Pool)
	}
	return p.pools[key], nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (w *worker) newPool(name string, own *tls.Certificate, limits timeouts, kept pool) *http.Transport {
	dial := (&net.Dialer{Timeout: seconds(limits.Connect)}).DialContext
	return &http.Transport{
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			pair, err := w.shown(own)
			if err == nil {
				secure := tls.Client(conn, w.upstreamTLS(name, pair))
				if err = secure.HandshakeContext(ctx); err == nil {
					return secure, nil
				}
			}
			conn.Close()
			return nil, err
		},
		ResponseHeaderTimeout: seconds(limits.Read),
		MaxIdleConnsPerHost:   cmp.Or(kept.Size, 320),
		IdleConnTimeout:       seconds(cmp.Or(kept.IdleTimeout, 60)),
		DisableCompression:    true,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only, like nginx's proxy
	}
}

// leafError means that nginx cannot load the location snippet's leaf, and answers 500.
type leafError struct{ error }

// shown is what an upstream is presented: the certificate that it names, else the snippet's. nginx loads the snippet's in any case.
func (w *worker) shown(own *tls.Certificate) (*tls.Certificate, error) {
	pair := &tls.Certificate{} // nginx then connects without a certificate
	if w.cfg.upstreamLeaf != nil {
		var err error
		if pair, err = w.cfg.upstreamLeaf.read(); err != nil {
			return nil, &leafError{err}
		}
	}
	return cmp.Or(own, pair), nil
}

func (w *worker) upstreamTLS(name string, pair *tls.Certificate) *tls.Config {
	return &tls.Config{
		ServerName:           name,
		InsecureSkipVerify:   true, // replaced by VerifyConnection, which has nginx's rules
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil },
		VerifyConnection: func(s tls.ConnectionState) error {
			if w.upstreamTrust == nil {
				return nil
			}
			if err := verify(s.PeerCertificates, w.upstreamTrust, x509.ExtKeyUsageServerAuth); err != nil {
				return fmt.Errorf("upstream SSL certificate verify error: %w", err)
			}
			// nginx compares DNS names only.
			if net.ParseIP(name) != nil || s.PeerCertificates[0].VerifyHostname(name) != nil {
				return fmt.Errorf("upstream SSL certificate does not match %q", name)
			}
			return nil
		},
	}
}
