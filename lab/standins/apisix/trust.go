// Certificate verification as nginx's OpenSSL does it: only self-signed certificates are anchors, and depth counts intermediates.
// Intermediates in a bundle are ignored: clients must send their own.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/cert-manager/cert-manager/lab/standins/clock"
)

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
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

// newTrust returns a bundle's roots; a chain may have at most depth intermediates.
func newTrust(bundle []byte, depth int) (*x509.CertPool, error) {
	certs, err := parseCertificates(bundle)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		signedItself := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
		if !bytes.Equal(cert.RawSubject, cert.RawIssuer) || !signedItself {
			continue
		}
		pool.AddCertWithConstraint(cert, func(chain []*x509.Certificate) error {
			if len(chain)-1 > depth {
				return fmt.Errorf("certificate chain too long: %d intermediates, depth %d", len(chain)-1, depth)
			}
			return nil
		})
	}
	return pool, nil
}

func readTrust(path string, depth int) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool, err := newTrust(text, depth)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate %q: %w", path, err)
	}
	return pool, nil
}

// verify accepts a chain that ends in one of the roots, whatever its names.
func verify(certs []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) error {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: clock.Now()}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(opts)
	return err
}
