// Stands in for Apache APISIX 3.18 in the lab where its image cannot be had: the same config.yaml, etcd, Admin API, gateway and
// signals, for exactly what this project uses. What it does not do it refuses; it never pretends.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	errorOut = log.New(os.Stderr, "", log.LstdFlags)
	quietLog = log.New(logFilter{}, "", 0)
)

func errorLog(level, format string, args ...any) {
	errorOut.Printf("[%s] %s", level, fmt.Sprintf(format, args...))
}

// logFilter gives net/http's complaints (refused handshakes above all) a level.
type logFilter struct{}

func (logFilter) Write(b []byte) (int, error) {
	errorLog("info", "%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// worker is one generation of the server, like nginx's workers between two reloads: it read its files when it was made.
type worker struct {
	cfg           *config
	etcd          *etcdClient
	snapshot      atomic.Pointer[snapshot]
	loaded        atomic.Bool
	adminTrust    *trust // nil: no client certificate is asked for
	adminDepth    int
	adminPair     tls.Certificate
	upstreamTrust *trust // nil: proxy_ssl_verify off
	upstreamDepth int
	mu            sync.Mutex
	pools         map[string]*pooled
	servers       []*http.Server
	connections   sync.Map // net.Conn -> http.ConnState
	draining      atomic.Bool
	handoffs      []*handoff // one a door
	stop          context.CancelFunc
}

func (w *worker) live() *snapshot { return w.snapshot.Load() }
func (w *worker) keys() keyring   { return w.cfg.Apisix.DataEncryption.Keyring }

// connection is what is remembered of one client connection.
type connection struct {
	begin    time.Time
	requests atomic.Int64
	verify   sync.Once
	refused  string
}

type connectionKey struct{}

func connectionOf(r *http.Request) *connection {
	return r.Context().Value(connectionKey{}).(*connection)
}

// door is one listening socket; it outlives reloads.
type door struct {
	listener net.Listener
	secure   bool // TLS; asked here and not of the server, since net/http gives every server a TLSConfig
	serve    func(*worker) *http.Server
}

// handoff is a worker's end of a door: closing it stops the worker taking connections without closing the socket.
type handoff struct {
	door   *door
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.accept:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}
func (h *handoff) Close() error   { h.once.Do(func() { close(h.closed) }); return nil }
func (h *handoff) Addr() net.Addr { return h.door.listener.Addr() }

func newWorker(cfg *config, doors []*door) (*worker, error) {
	w := &worker{cfg: cfg, adminDepth: 1, pools: map[string]*pooled{}}
	var err error
	if w.etcd, err = newEtcdClient(cfg, true); err != nil {
		return nil, err
	}
	if err := w.loadUpstreamTrust(); err != nil {
		return nil, err
	}
	if files := cfg.Deployment.Admin.APIMTLS; cfg.Deployment.Admin.HTTPS {
		if w.adminPair, err = tls.LoadX509KeyPair(files.Cert, files.Key); err != nil {
			return nil, fmt.Errorf("cannot load certificate %q: %w", files.Cert, err)
		}
		if files.CA != "" {
			if w.adminTrust, err = readTrust(files.CA); err != nil {
				return nil, err
			}
		}
		if cfg.admin.depth != nil {
			w.adminDepth = *cfg.admin.depth
		}
	}
	w.snapshot.Store(newSnapshot(map[string]any{}))
	for _, d := range doors {
		w.servers = append(w.servers, d.serve(w))
		w.handoffs = append(w.handoffs, &handoff{door: d, accept: make(chan net.Conn), closed: make(chan struct{})})
	}
	return w, nil
}

// follow keeps the snapshot up to date; it returns when the first load is done or patience is over.
func (w *worker) follow(patience time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	var mu sync.Mutex
	objects, changed, ready := map[string]any{}, make(chan struct{}, 1), make(chan struct{})
	apply := func(kv keyValue, deleted bool) {
		key := strings.TrimPrefix(string(kv.Key), w.etcd.key(""))
		delete(objects, key)
		if deleted || strings.HasSuffix(key, "/") {
			return
		}
		parsed, err := parse(key, kv, w.keys(), w.cfg)
		if err != nil {
			errorLog("error", "failed to check item data of [%s]: %v", key, err)
		} else if parsed != nil {
			objects[key] = parsed
		}
	}
	announce := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	go w.etcd.follow(ctx, func(all []keyValue) {
		mu.Lock()
		defer mu.Unlock()
		objects = map[string]any{}
		for _, kv := range all {
			apply(kv, false)
		}
		announce()
	}, func(events []etcdEvent) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			apply(e.KV, e.Type == "DELETE")
		}
		announce()
	})
	go func() {
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			mu.Lock()
			fresh := maps.Clone(objects)
			mu.Unlock()
			w.snapshot.Store(newSnapshot(fresh))
			if w.loaded.CompareAndSwap(false, true) {
				close(ready)
			}
			time.Sleep(10 * time.Millisecond) // a burst of writes is taken over in few steps
		}
	}()
	select {
	case <-ready:
	case <-time.After(patience):
		errorLog("error", "failed to load the configuration: etcd gives none yet")
	}
}

func (w *worker) serve() {
	for i, s := range w.servers {
		go s.Serve(w.handoffs[i])
	}
}

// retire stops taking connections, closes the idle ones, and lets all others have the answer they are waiting for, like an nginx
// worker on its way out. (http.Server.Shutdown alone drops a connection whose first request is still to come.)
func (w *worker) retire(limit time.Duration) {
	w.draining.Store(true)
	for _, h := range w.handoffs {
		h.Close()
	}
	for end := time.Now().Add(min(limit, 5*time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		fresh := false
		w.connections.Range(func(key, state any) bool {
			secure, ok := key.(*tls.Conn)
			if state == http.StateIdle && !(ok && secure.ConnectionState().NegotiatedProtocol == "h2") {
				key.(net.Conn).Close()
			}
			fresh = fresh || state == http.StateNew
			return true
		})
		if !fresh {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range w.servers {
		all.Go(func() {
			if s.Shutdown(ctx) != nil {
				s.Close()
			}
		})
	}
	all.Wait()
	w.stop()
	w.etcd.http.CloseIdleConnections()
	for _, p := range w.pools {
		p.CloseIdleConnections()
	}
}

// server wraps a handler with what nginx does on every connection: 1,000 requests, keepalive_time, idle time-out.
func (w *worker) server(handler http.Handler, s snippet, config *tls.Config) *http.Server {
	idle, _ := nginxTime(w.cfg.Nginx.HTTP.KeepaliveTimeout)
	if s.keepaliveTimeout > 0 {
		idle = s.keepaliveTimeout
	}
	life := s.keepaliveTime
	setDefault(&life, time.Hour)
	limited := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c := connectionOf(r)
		if c.requests.Add(1) >= 1000 || time.Since(c.begin) > life || w.draining.Load() {
			rw.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(rw, r)
	})
	return &http.Server{
		Handler: logged(isTrue(w.cfg.Nginx.HTTP.EnableAccessLog, true), limited), TLSConfig: config, IdleTimeout: idle, ReadHeaderTimeout: time.Minute, ErrorLog: quietLog,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				w.connections.Delete(c)
			} else {
				w.connections.Store(c, state)
			}
		},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, &connection{begin: time.Now()})
		},
	}
}

func (w *worker) status() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Server", serverName)
		rw.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/status" || (r.URL.Path == "/status/ready" && w.loaded.Load()):
			io.WriteString(rw, `{"status":"ok"}`+"\n")
		case r.URL.Path == "/status/ready":
			rw.WriteHeader(503)
			io.WriteString(rw, `{"status":"error","error":"worker id: 0 has not received configuration"}`+"\n")
		default:
			writePage(rw, 404, "")
		}
	})
}

// openDoors binds every socket of the configuration.
func openDoors(c *config) (doors []*door, err error) {
	open := func(at listen, secure bool, serve func(*worker) *http.Server) {
		network := map[bool]string{true: "tcp", false: "tcp4"}[at.IP == "" && isTrue(c.Apisix.EnableIPv6, true)]
		listener, lerr := net.Listen(network, net.JoinHostPort(at.IP, fmt.Sprint(at.Port)))
		if lerr != nil {
			err = errors.Join(err, fmt.Errorf("nginx: [emerg] bind() failed: %w", lerr))
			return
		}
		doors = append(doors, &door{listener, secure, serve})
	}
	for _, at := range c.Apisix.NodeListen {
		open(at, false, func(w *worker) *http.Server { return w.server(w.gateway(), c.server, nil) })
	}
	if isTrue(c.Apisix.SSL.Enable, true) {
		for _, at := range c.Apisix.SSL.Listen {
			open(at, true, func(w *worker) *http.Server { return w.server(w.gateway(), c.server, w.tlsConfig()) })
		}
	}
	if isTrue(c.Apisix.EnableAdmin, true) {
		open(*c.Deployment.Admin.Listen, c.Deployment.Admin.HTTPS, func(w *worker) *http.Server {
			if !c.Deployment.Admin.HTTPS {
				return w.server(w.adminAPI(), c.admin, nil)
			}
			config := &tls.Config{Certificates: []tls.Certificate{w.adminPair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: c.admin.noSessions}
			if w.adminTrust != nil {
				config.ClientAuth, config.ClientCAs = tls.RequestClientCert, w.adminTrust.pool(w.adminDepth)
			}
			return w.server(w.adminAPI(), c.admin, config)
		})
	}
	open(*c.Apisix.Status, false, func(w *worker) *http.Server {
		s := w.server(w.status(), snippet{}, nil)
		s.Handler = w.status()
		return s
	})
	return doors, err
}

func main() {
	home := flag.String("home", cmpOr(os.Getenv("APISIX_HOME"), "/usr/local/apisix"), "the folder that holds conf and logs")
	flag.Parse()
	fmt.Println("apisix stand-in 3.18.0 (mtls-everywhere lab): not Apache APISIX")
	if err := run(*home, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cmpOr(a, b string) string { setDefault(&a, b); return a }

func run(home string, args []string) error {
	if len(args) > 1 || (len(args) == 1 && args[0] != "docker-start") {
		return fmt.Errorf("unknown command %q: only docker-start, or none", strings.Join(args, " "))
	}
	cfg, err := readConfig(home)
	if err != nil {
		return err
	}
	if !isTrue(cfg.Deployment.Admin.KeyRequired, true) {
		fmt.Println("Warning! Admin key is bypassed! If you are deploying APISIX in a production environment, please enable `admin_key_required` and set a secure admin key!")
	}
	if isTrue(cfg.Apisix.EnableControl, true) || isTrue(cfg.Deployment.Admin.EnableUI, true) {
		fmt.Println("stand-in: there is no Control API and no admin UI here, though config.yaml leaves one on")
	}
	probe, err := newEtcdClient(cfg, false)
	if err != nil {
		return err
	}
	if err := probe.start(); err != nil {
		return err
	}
	pidFile := filepath.Join(home, "logs", "nginx.pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return err
	}
	defer os.Remove(pidFile)
	doors, err := openDoors(cfg)
	if err != nil {
		return err
	}
	current := &atomic.Pointer[worker]{}
	w, err := newWorker(cfg, doors)
	if err != nil {
		return fmt.Errorf("nginx: [emerg] %w", err)
	}
	w.follow(3 * time.Second)
	current.Store(w)
	w.serve()
	for i, d := range doors {
		go d.pass(i, current)
	}
	return await(cfg, doors, current)
}

// pass hands each new connection to the worker of the day.
func (d *door) pass(i int, current *atomic.Pointer[worker]) {
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			errorLog("crit", "accept() failed: %v", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for handed := false; !handed; {
			w := current.Load()
			c := conn
			if d.secure {
				c = tls.Server(plainRequestConn{conn}, w.servers[i].TLSConfig)
			}
			select {
			case w.handoffs[i].accept <- c:
				handed = true
			case <-w.handoffs[i].closed: // it retired in this moment: its successor is there already
				handed = w == current.Load()
			}
		}
	}
}

// await obeys nginx's signals: HUP reloads files, QUIT stops when requests are done, TERM and INT at once.
func await(cfg *config, doors []*door, current *atomic.Pointer[worker]) error {
	limit, _ := nginxTime(cfg.Nginx.WorkerShutdownTimeout)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT)
	for s := range signals {
		errorLog("notice", "signal %v received", s)
		switch s {
		case syscall.SIGHUP:
			fresh, err := newWorker(cfg, doors)
			if err != nil {
				errorLog("emerg", "%v: the old workers go on", err)
				continue
			}
			fresh.follow(time.Second) // etcd down: it serves nothing until etcd returns, like the real one
			old := current.Swap(fresh)
			fresh.serve()
			go old.retire(limit)
		case syscall.SIGQUIT:
			for _, d := range doors {
				d.listener.Close()
			}
			current.Load().retire(limit)
			return nil
		default:
			return nil
		}
	}
	return nil
}
