// The fixed HTML pages of nginx in APISIX, and the access log.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	serverName = "APISIX/3.18.0"
	noCert     = "No required SSL certificate was sent"
	badCert    = "The SSL certificate error"
	plainHTTP  = "The plain HTTP request was sent to HTTPS port"
)

// nginxPage is nginx's built-in page; detail is the extra line of its 400 pages. Pages made by nginx itself have CRLF, as here.
func nginxPage(status int, detail string) string {
	text := fmt.Sprintf("%d %s", status, statusText(status))
	title, center := text, ""
	if detail != "" {
		title, center = fmt.Sprintf("%d %s", status, detail), "<center>"+detail+"</center>\r\n"
	}
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n" + center +
		"<hr><center>openresty</center>\r\n<p><em>Powered by <a href=\"https://apisix.apache.org/\">APISIX</a>.</em></p></body>\r\n</html>\r\n"
}

func statusText(status int) string {
	switch status {
	case 503:
		return "Service Temporarily Unavailable"
	case 504:
		return "Gateway Time-out"
	}
	return http.StatusText(status)
}

func writePage(w http.ResponseWriter, status int, detail string) {
	page := nginxPage(status, detail)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(page)))
	if status == 400 || status == 500 { // nginx closes the connection after these
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(status)
	fmt.Fprint(w, page)
}

// plainRequestConn answers a plain-text request on a TLS port with nginx's page instead of net/http's line.
type plainRequestConn struct{ net.Conn }

func (c plainRequestConn) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request") {
		page := nginxPage(400, plainHTTP)
		_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 400 Bad Request\r\nServer: openresty\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(page), page)
		return len(b), err
	}
	return c.Conn.Write(b)
}

type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 || w.status < 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	setDefault(&w.status, 200)
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var (
	accessLog    = log.New(os.Stdout, "", 0)
	secretInArgs = regexp.MustCompile(`(api_key=)[^& ]*`)
)

// logged writes one line a request; keys in query strings never reach it.
func logged(on bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, cw := time.Now(), &countingWriter{ResponseWriter: w}
		next.ServeHTTP(cw, r)
		if on {
			ip, _, _ := net.SplitHostPort(r.RemoteAddr)
			accessLog.Printf("%s - - [%s] %s %q %d %d %.3f %q %q", ip, begin.Format("02/Jan/2006:15:04:05 -0700"), r.Host,
				r.Method+" "+secretInArgs.ReplaceAllString(r.RequestURI, "${1}-")+" "+r.Proto, cw.status, cw.bytes, time.Since(begin).Seconds(), r.Referer(), r.UserAgent())
		}
	})
}
