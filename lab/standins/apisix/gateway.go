// The gateway: picks the ssl object by SNI, the route by host and path, and proxies, verifying upstreams as the snippets say.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// tlsConfig chooses per handshake; an error here becomes the alert internal_error, as in the real gateway.
func (w *worker) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}, // so that net/http prepares HTTP/2; each ssl object has its own list
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name := hello.ServerName
			setDefault(&name, w.cfg.Apisix.SSL.FallbackSNI)
			if object := w.live().sslFor(name); name != "" && object != nil && object.config != nil {
				return object.config, nil
			}
			errorLog("error", "failed to match any SSL certificate by SNI: %s, client: %s", name, hello.Conn.RemoteAddr())
			return nil, errors.New("no ssl object")
		},
	}
}

// clientAllowed repeats APISIX's check per request: under mutual TLS the name in the handshake must be the Host, byte by byte.
func (w *worker) clientAllowed(r *http.Request, host string) bool {
	if r.TLS == nil {
		return true
	}
	object := w.live().sslFor(host)
	if object == nil || object.Client == nil || object.trust == nil {
		return true
	}
	if len(object.skip) > 0 {
		if slices.ContainsFunc(object.skip, func(re *regexp.Regexp) bool { return re.MatchString(r.URL.Path) }) {
			return true
		}
		peers := r.TLS.PeerCertificates
		if len(peers) == 0 || object.trust.verify(peers, x509.ExtKeyUsageClientAuth, object.depth) != nil {
			return false
		}
	}
	return r.TLS.ServerName == host
}

func (w *worker) gateway() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport:     w,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			ip, _, _ := net.SplitHostPort(p.In.RemoteAddr)
			p.Out.Header.Set("X-Real-IP", ip)
			_, port, _ := net.SplitHostPort(p.In.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
			p.Out.Header.Set("X-Forwarded-Port", port)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Server", serverName)
			if r.StatusCode >= 500 {
				r.Header.Set("X-APISIX-Upstream-Status", fmt.Sprint(r.StatusCode))
			}
			return nil
		},
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			status := 502
			var timeout net.Error
			var dns *net.DNSError
			if errors.As(err, &dns) || errors.Is(err, errNoNode) {
				status = 503
			} else if errors.As(err, &timeout) && timeout.Timeout() {
				status = 504
			}
			errorLog("error", "%v while connecting to upstream, client: %s, request: %q, host: %q", err, r.RemoteAddr, r.Method+" "+r.URL.Path, r.Host)
			if status != 503 {
				rw.Header().Set("X-APISIX-Upstream-Status", fmt.Sprint(status))
			}
			writePage(rw, status, "")
		},
		ErrorLog: quietLog,
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Server", serverName)
		host := strings.ToLower(r.Host)
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !w.clientAllowed(r, host) {
			writePage(rw, 400, "")
			return
		}
		uri := path.Clean("/" + r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "/") && uri != "/" {
			uri += "/"
		}
		live := w.live()
		route := live.match(r.Method, host, uri)
		if route == nil {
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			rw.WriteHeader(404)
			io.WriteString(rw, `{"error_msg":"404 Route Not Found"}`+"\n")
			return
		}
		up, status, problem := live.backend(route)
		if problem != "" {
			http.Error(rw, "stand-in: "+problem+" is not implemented", 500)
			return
		}
		if status != 0 {
			writePage(rw, status, "")
			return
		}
		proxy.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), chosenKey{}, chosen{up, route.Timeout, host, live})))
	})
}

type chosenKey struct{}

type chosen struct {
	upstream *upstream
	timeout  *timeouts
	host     string
	live     *snapshot
}

var errNoNode = errors.New("failed to set upstream: no valid upstream node")

// next is nginx's smooth weighted round robin, leaving out the nodes already tried.
func (u *upstream) next(tried []int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	best, total := -1, 0
	for i, n := range u.nodes {
		if slices.Contains(tried, i) {
			continue
		}
		u.current[i] += n.Weight
		total += n.Weight
		if best < 0 || u.current[i] > u.current[best] {
			best = i
		}
	}
	if best >= 0 {
		u.current[best] -= total
	}
	return best
}

// RoundTrip tries the upstream's nodes: by default each once, and only while nothing of the request can have taken effect.
func (w *worker) RoundTrip(r *http.Request) (*http.Response, error) {
	c := r.Context().Value(chosenKey{}).(chosen)
	u := c.upstream
	tries := len(u.nodes)
	if u.Retries != nil {
		tries = *u.Retries + 1
	}
	replayable := r.Body == nil || r.Body == http.NoBody
	err := errNoNode
	var tried []int
	for try := 0; try < max(tries, 1); try++ {
		i := u.next(tried)
		if i < 0 && len(tried) > 0 {
			tried = nil
			i = u.next(tried)
		}
		if i < 0 {
			return nil, err
		}
		tried = append(tried, i)
		n := u.nodes[i]
		switch u.PassHost {
		case "rewrite":
			r.Host = u.UpstreamHost
		case "node":
			r.Host = n.Host
			if n.Port != 0 && !(u.Scheme == "http" && n.Port == 80) && !(u.Scheme == "https" && n.Port == 443) {
				r.Host = n.address(u.Scheme)
			}
		}
		r.URL.Scheme, r.URL.Host = u.Scheme, n.address(u.Scheme)
		transport, terr := w.transport(c, r.Host)
		if terr != nil {
			return nil, terr
		}
		var response *http.Response
		if response, err = transport.RoundTrip(r); err == nil {
			return response, nil
		}
		var dial *net.OpError
		if r.Context().Err() != nil || !(replayable || (errors.As(err, &dial) && dial.Op == "dial")) {
			break
		}
	}
	return nil, err
}

// pooled is one pool of upstream connections. As in APISIX the pool is told apart by name and client certificate, not by its key:
// a changed key shows only on new connections.
type pooled struct {
	http.Transport
	pair atomic.Pointer[tls.Certificate]
}

func (w *worker) transport(c chosen, hostHeader string) (http.RoundTripper, error) {
	u := c.upstream
	name := hostHeader
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	setDefault(&name, w.cfg.server.proxyName)
	if w.cfg.location.proxyName != "" {
		name = w.cfg.location.proxyName
	}
	cert, pair := u.TLS.ClientCert, u.pair
	if u.TLS.ClientCertID != "" {
		object, ok := c.live.objects["ssls/"+string(u.TLS.ClientCertID)].(*ssl)
		if !ok {
			return nil, fmt.Errorf("failed to fetch ssl info by ssl id [%s]", u.TLS.ClientCertID)
		}
		if cert = object.Cert; len(object.pairs) > 0 {
			pair = &object.pairs[0]
		}
	}
	if pair == nil {
		pair = &tls.Certificate{}
	}
	limits := timeouts{60, 60, 60}
	for _, t := range []*timeouts{u.Timeout, c.timeout} {
		if t != nil {
			limits = *t
		}
	}
	poolKey := fmt.Sprint(u.Scheme, name, sha256.Sum256([]byte(cert)), limits, u.KeepalivePool)
	w.mu.Lock()
	defer w.mu.Unlock()
	p, known := w.pools[poolKey]
	if !known {
		p = &pooled{}
		w.pools[poolKey] = p
	}
	p.pair.Store(pair)
	if known {
		return p, nil
	}
	p.DialContext = (&net.Dialer{Timeout: time.Duration(limits.Connect * float64(time.Second))}).DialContext
	p.ResponseHeaderTimeout = time.Duration(limits.Read * float64(time.Second))
	p.MaxIdleConnsPerHost, p.IdleConnTimeout, p.DisableCompression = 320, time.Minute, true
	if u.KeepalivePool.Size > 0 {
		p.MaxIdleConnsPerHost = u.KeepalivePool.Size
	}
	if u.KeepalivePool.IdleTimeout > 0 {
		p.IdleConnTimeout = time.Duration(u.KeepalivePool.IdleTimeout * float64(time.Second))
	}
	p.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}     // HTTP/1.1 only, like nginx's proxy
	p.TLSClientConfig = &tls.Config{ServerName: name, InsecureSkipVerify: true, // replaced by VerifyConnection, which has nginx's rules
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.pair.Load(), nil },
		VerifyConnection: func(s tls.ConnectionState) error {
			if w.upstreamTrust == nil {
				return nil
			}
			if err := w.upstreamTrust.verify(s.PeerCertificates, x509.ExtKeyUsageServerAuth, w.upstreamDepth); err != nil {
				return fmt.Errorf("upstream SSL certificate verify error: %w", err)
			}
			if net.ParseIP(name) != nil || s.PeerCertificates[0].VerifyHostname(name) != nil { // nginx compares DNS names only
				return fmt.Errorf("upstream SSL certificate does not match %q", name)
			}
			return nil
		}}
	return p, nil
}

// loadUpstreamTrust applies the snippets, location over server over the template.
func (w *worker) loadUpstreamTrust() (err error) {
	server, location := w.cfg.server, w.cfg.location
	verify, depth, file := false, 1, w.cfg.Apisix.SSL.TrustedCertificate
	for _, s := range []snippet{server, location} {
		verify = isTrue(s.proxyVerify, verify)
		if s.proxyDepth != nil {
			depth = *s.proxyDepth
		}
		if s.proxyTrusted != "" {
			file = s.proxyTrusted
		}
	}
	if _, statErr := os.Stat(file); statErr != nil && location.proxyTrusted == "" && !verify {
		return nil
	}
	loaded, err := readTrust(file) // nginx loads the file even where verification is off
	if err == nil && verify {
		w.upstreamTrust, w.upstreamDepth = loaded, depth
	}
	return err
}
