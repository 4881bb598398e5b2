// Stands in for Apache APISIX 3.18 in the lab, where its image is not available: the same config.yaml, etcd, Admin API, gateway
// and signals, for exactly what this project uses. It refuses what it does not implement, and never pretends.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	home := flag.String("home", "/usr/local/apisix", "the folder that holds conf")
	flag.Parse()
	fmt.Println("apisix stand-in 3.18.0 (mtls-everywhere lab): not Apache APISIX")
	fmt.Println("stand-in: no Control API, admin UI, access log or IPv6 here, even where config.yaml leaves one on")
	if err := run(*home, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(home string, args []string) error {
	if command := strings.Join(args, " "); command != "" && command != "docker-start" {
		return fmt.Errorf("unknown command %q: only docker-start, or none", command)
	}
	cfg, err := readConfig(home)
	if err != nil {
		return err
	}
	probe, err := newEtcdClient(cfg, false)
	if err == nil {
		err = probe.start()
	}
	if err != nil {
		return err
	}
	first, err := newWorker(cfg)
	if err != nil {
		return fmt.Errorf("nginx: [emerg] %w", err)
	}
	first.follow(3 * time.Second)
	p := &process{cfg: cfg}
	p.current.Store(first)
	if err := p.openDoors(); err != nil {
		return fmt.Errorf("nginx: [emerg] %w", err)
	}
	p.obey()
	return nil
}

var errorOut = log.New(os.Stderr, "", log.LstdFlags)

func errorLog(level, format string, args ...any) {
	errorOut.Printf("[%s] %s", level, fmt.Sprintf(format, args...))
}

// ---------- what lasts: sockets, connections, signals

// process holds the sockets, which outlive reloads; each request is answered by the current worker.
type process struct {
	cfg       *config
	current   atomic.Pointer[worker]
	listeners []net.Listener
	servers   []*http.Server
}

// connection is what is remembered of one client connection.
type connection struct {
	begin    time.Time
	worker   *worker
	requests atomic.Int64
}

type connectionKey struct{}

// door is one socket to listen on.
type door struct {
	at     listen
	secure *tls.Config // nil: plain HTTP
	conf   snippet
	answer func(*worker, http.ResponseWriter, *http.Request)
}

func (p *process) openDoors() error {
	gateway := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return p.current.Load().gatewayTLS(hello)
	}}
	admin := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return p.current.Load().adminTLS, nil
	}}
	var doors []door
	for _, at := range p.cfg.Apisix.NodeListen {
		doors = append(doors, door{at, nil, p.cfg.server, (*worker).gateway})
	}
	for _, at := range p.cfg.Apisix.SSL.Listen {
		doors = append(doors, door{at, gateway, p.cfg.server, (*worker).gateway})
	}
	doors = append(doors, door{p.cfg.Deployment.Admin.Listen, admin, p.cfg.admin, (*worker).adminAPI})
	doors = append(doors, door{p.cfg.Apisix.Status, nil, p.cfg.server, (*worker).status}) // last, since readiness checks wait for it
	for _, d := range doors {
		if err := p.open(d); err != nil {
			return err
		}
	}
	return nil
}

// open listens, with nginx's limits on every connection: 1,000 requests, keepalive_time, idle time-out.
func (p *process) open(d door) error {
	listener, err := net.Listen("tcp4", net.JoinHostPort(d.at.IP, fmt.Sprint(d.at.Port)))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			c, now := r.Context().Value(connectionKey{}).(*connection), p.current.Load()
			if c.requests.Add(1) >= 1000 || time.Since(c.begin) > d.conf.keepaliveTime || c.worker != now {
				rw.Header().Set("Connection", "close")
			}
			d.answer(now, rw, r)
		}),
		TLSConfig:         d.secure,
		IdleTimeout:       time.Minute,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          errorOut,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, &connection{begin: time.Now(), worker: p.current.Load()})
		},
	}
	p.listeners, p.servers = append(p.listeners, listener), append(p.servers, server)
	if d.secure == nil {
		go server.Serve(listener)
	} else {
		go server.ServeTLS(pageListener{listener}, "", "")
	}
	return nil
}

// obey handles nginx's signals: HUP rereads the files, QUIT stops when requests are done, TERM and INT at once.
func (p *process) obey() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT)
	for received := range signals {
		errorLog("notice", "signal %v received", received)
		if received != syscall.SIGHUP {
			if received == syscall.SIGQUIT {
				p.finish()
			}
			return
		}
		fresh, err := newWorker(p.cfg)
		if err != nil {
			errorLog("emerg", "%v: the old worker keeps running", err)
			continue
		}
		fresh.follow(time.Second) // with etcd down it serves nothing until etcd returns, like the real one
		p.current.Swap(fresh).stop()
		for _, server := range p.servers { // closes idle connections
			server.SetKeepAlivesEnabled(false)
			server.SetKeepAlivesEnabled(true)
		}
	}
}

// finish lets every request complete, for at most the default worker_shutdown_timeout.
func (p *process) finish() {
	for _, listener := range p.listeners {
		listener.Close()
	}
	time.Sleep(time.Second) // for new connections' first requests, which Shutdown would drop
	ctx, cancel := context.WithTimeout(context.Background(), 240*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range p.servers {
		all.Go(func() { server.Shutdown(ctx) })
	}
	all.Wait()
}

// ---------- what a reload replaces

// worker is one generation, like nginx's workers between reloads: it read its files when it was made, except live leaves.
type worker struct {
	cfg           *config
	etcd          *etcdClient
	snapshot      atomic.Pointer[snapshot] // nil until loaded from etcd
	adminTLS      *tls.Config
	adminTrust    *x509.CertPool // nil: no client certificate is asked for
	upstreamTrust *x509.CertPool // nil: proxy_ssl_verify is off
	mu            sync.Mutex
	pools         map[poolKey]*http.Transport
	stop          context.CancelFunc
}

func newWorker(cfg *config) (*worker, error) {
	w := &worker{cfg: cfg, pools: map[poolKey]*http.Transport{}}
	var err error
	if w.etcd, err = newEtcdClient(cfg, true); err != nil {
		return nil, err
	}
	upstreams, err := readTrust(cfg.location.proxyTrusted, cfg.location.proxyDepth)
	if err != nil { // nginx loads the file even with verification off
		return nil, err
	}
	if cfg.location.proxyVerify {
		w.upstreamTrust = upstreams
	}
	certificate, err := cfg.adminLeaf.provider()
	if err != nil {
		return nil, err
	}
	if w.adminTLS, err = serverTLS(strings.Fields(cfg.Apisix.SSL.Protocols), cfg.Apisix.SSL.Ciphers, cfg.admin); err != nil {
		return nil, err
	}
	w.adminTLS.GetCertificate = certificate
	w.adminTLS.NextProtos = []string{"http/1.1"}
	if ca := cfg.Deployment.Admin.MTLS.CA; ca != "" {
		if w.adminTrust, err = readTrust(ca, 1); err != nil {
			return nil, err
		}
		w.adminTLS.ClientAuth, w.adminTLS.ClientCAs = tls.RequestClientCert, w.adminTrust
	}
	return w, nil
}

// follow keeps the snapshot up to date; it returns after the first load or when patience runs out.
func (w *worker) follow(patience time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	ready := make(chan struct{})
	objects := map[string]any{}
	go w.etcd.follow(ctx, func(events []etcdEvent, whole bool) {
		if whole {
			clear(objects)
		}
		for _, e := range events {
			key := strings.TrimPrefix(string(e.KV.Key), w.etcd.key(""))
			delete(objects, key)
			if e.Type == "DELETE" || strings.HasSuffix(key, "/") {
				continue
			}
			if object, err := w.parse(key, e.KV); err != nil {
				errorLog("error", "failed to check item data of [%s]: %v", key, err)
			} else {
				objects[key] = object
			}
		}
		if w.snapshot.Swap(newSnapshot(objects)) == nil {
			close(ready)
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		errorLog("error", "failed to load the configuration: etcd gives none yet")
	}
}

func (w *worker) live() *snapshot { return cmp.Or(w.snapshot.Load(), &snapshot{}) }

func (w *worker) status(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Server", serverName)
	rw.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/status" || (r.URL.Path == "/status/ready" && w.snapshot.Load() != nil):
		io.WriteString(rw, `{"status":"ok"}`+"\n")
	case r.URL.Path == "/status/ready":
		rw.WriteHeader(503)
		io.WriteString(rw, `{"status":"error","error":"worker id: 0 has not received configuration"}`+"\n")
	default:
		writePage(rw, 404, "")
	}
}
