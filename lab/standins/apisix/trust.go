// Certificate verification as OpenSSL does it in nginx: only self-signed certificates are anchors, and depth counts intermediates.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// trust is one bundle of CA certificates; an intermediate in it helps to build chains but anchors none.
type trust struct {
	roots, intermediates []*x509.Certificate
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate found")
	}
	return certs, nil
}

func newTrust(text []byte) (*trust, error) {
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	t := &trust{}
	for _, cert := range certs {
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
			t.roots = append(t.roots, cert)
		} else {
			t.intermediates = append(t.intermediates, cert)
		}
	}
	return t, nil
}

func readTrust(path string) (*trust, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := newTrust(text)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate %q: %w", path, err)
	}
	return t, nil
}

// verify accepts a chain with at most depth intermediates that ends in one of the roots.
func (t *trust) verify(certs []*x509.Certificate, usage x509.ExtKeyUsage, depth int) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, root := range t.roots {
		opts.Roots.AddCertWithConstraint(root, func(chain []*x509.Certificate) error { return within(len(chain)-1, depth) })
	}
	for _, cert := range append(append([]*x509.Certificate{}, t.intermediates...), certs[1:]...) {
		opts.Intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(opts)
	return err
}

// pool is the same rule in the form crypto/tls wants, so that the handshake itself sends unknown_ca, as the real gateway's does.
func (t *trust) pool(depth int) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range t.roots {
		pool.AddCertWithConstraint(root, func(chain []*x509.Certificate) error { return within(len(chain)-1, depth) })
	}
	for _, cert := range t.intermediates {
		for above := 0; above < 8; above++ { // how many further intermediates lie between this one and its root
			if t.verify([]*x509.Certificate{cert}, x509.ExtKeyUsageAny, above) == nil {
				pool.AddCertWithConstraint(cert, func(chain []*x509.Certificate) error { return within(len(chain)+above, depth) })
				break
			}
		}
	}
	return pool
}

func within(intermediates, depth int) error {
	if intermediates > depth {
		return fmt.Errorf("certificate chain too long: %d intermediates, depth %d", intermediates, depth)
	}
	return nil
}
