// The fixed HTML pages of APISIX's nginx.
package main

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"strings"
)

const (
	serverName = "APISIX/3.18.0"
	noCert     = "No required SSL certificate was sent"
	badCert    = "The SSL certificate error"
	plainHTTP  = "The plain HTTP request was sent to HTTPS port"
)

// ownWords are nginx's status texts where they differ from net/http's.
var ownWords = map[int]string{503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}

// nginxPage is nginx's built-in page; detail is the extra line of its 400 pages. Pages made by nginx itself have CRLF, as here.
func nginxPage(status int, detail string) string {
	text := fmt.Sprintf("%d %s", status, cmp.Or(ownWords[status], http.StatusText(status)))
	title, center := text, ""
	if detail != "" {
		title, center = fmt.Sprintf("%d %s", status, detail), "<center>"+detail+"</center>\r\n"
	}
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n" +
		center + "<hr><center>openresty</center>\r\n" +
		"<p><em>Powered by <a href=\"https://apisix.apache.org/\">APISIX</a>.</em></p></body>\r\n</html>\r\n"
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

// pageListener answers a plain-text request on a TLS port with nginx's page instead of net/http's line.
type pageListener struct{ net.Listener }

func (l pageListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return pageConn{conn}, err
}

type pageConn struct{ net.Conn }

func (c pageConn) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request") {
		page := nginxPage(400, plainHTTP)
		_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 400 Bad Request\r\nServer: openresty\r\n"+
			"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(page), page)
		return len(b), err
	}
	return c.Conn.Write(b)
}
