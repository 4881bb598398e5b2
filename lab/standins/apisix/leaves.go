// Leaves whose paths start with an empty variable: nginx opens their files at every handshake instead of once at startup.
package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// leaf is a certificate and its key, by path.
type leaf struct {
	cert, key string
	live      bool // read at every handshake
}

var pathWithVariable = regexp.MustCompile(`^\$(\w+)(/[^$]*)$`)

// newLeaf takes the paths as in nginx.conf; known is the variable that they may contain.
func newLeaf(cert, key, known string) (leaf, error) {
	if !strings.Contains(cert+key, "$") {
		return leaf{cert, key, false}, nil
	}
	c, k := pathWithVariable.FindStringSubmatch(cert), pathWithVariable.FindStringSubmatch(key)
	if c == nil || k == nil {
		return leaf{}, errors.New("this stand-in knows a variable only at the beginning of both a certificate's path and its key's")
	}
	for _, name := range []string{c[1], k[1]} {
		if name != known {
			return leaf{}, fmt.Errorf("nginx: [emerg] unknown %q variable", name)
		}
	}
	return leaf{c[2], k[2], true}, nil
}

// read returns the pair; if its halves do not match, nginx (from 1.27.4) reads once more, as they may have been swapped meanwhile.
func (l leaf) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(l.cert, l.key)
	if err != nil && strings.Contains(err.Error(), "does not match") {
		pair, err = tls.LoadX509KeyPair(l.cert, l.key)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate %q: %w", l.cert, err)
	}
	return &pair, nil
}

// provider is for a tls.Config's GetCertificate, where an error becomes the alert internal_error.
func (l leaf) provider() (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if l.live {
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := l.read()
			if err != nil {
				errorLog("error", "%v while SSL handshaking", err)
			}
			return pair, err
		}, nil
	}
	pair, err := l.read()
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }, err
}
