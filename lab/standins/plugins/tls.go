// The resource types of the tls plugin.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cert-manager/cert-manager/lab/standins/clock"
)

var (
	computed      = attribute{computed: true}
	refusedList   = attribute{kind: "list", refused: true}
	optionalBool  = attribute{fallback: false}
	privateKeyPem = attribute{secret: true}
	subject       = attribute{kind: "block", fields: []string{"commonName", "country", "emailAddress", "locality", "organization", "organizationalUnit", "postalCode", "province", "serialNumber", "streetAddresses"}}
)

var tlsKinds = map[string]kind{
	"tls:index/privateKey:PrivateKey": {
		meta: "1",
		attributes: map[string]attribute{
			"algorithm": {}, "ecdsaCurve": {fallback: "P224"}, "rsaBits": {fallback: int64(2048)},
			"privateKeyOpenssh": {computed: true, secret: true}, "privateKeyPem": {computed: true, secret: true}, "privateKeyPemPkcs8": {computed: true, secret: true},
			"publicKeyFingerprintMd5": computed, "publicKeyFingerprintSha256": computed, "publicKeyOpenssh": computed, "publicKeyPem": computed,
		},
		create: createPrivateKey,
	},
	"tls:index/selfSignedCert:SelfSignedCert": certificateKind(map[string]attribute{
		"privateKeyPem": privateKeyPem, "keyAlgorithm": computed, "subject": subject, "setAuthorityKeyId": {fallback: false, refused: true},
		"dnsNames": {kind: "list"}, "ipAddresses": refusedList, "uris": refusedList,
	}, createSelfSigned),
	"tls:index/locallySignedCert:LocallySignedCert": certificateKind(map[string]attribute{
		"caPrivateKeyPem": privateKeyPem, "caKeyAlgorithm": computed, "caCertPem": {}, "certRequestPem": {},
	}, createLocallySigned),
	"tls:index/certRequest:CertRequest": {
		attributes: map[string]attribute{"privateKeyPem": privateKeyPem, "keyAlgorithm": computed, "subject": subject, "certRequestPem": computed,
			"dnsNames": {kind: "list"}, "ipAddresses": refusedList, "uris": refusedList},
		check:  checkSubject,
		create: createRequest,
	},
}

// certificateKind holds what self-signed and locally signed certificates have in common.
func certificateKind(own map[string]attribute, create func(object) (string, object, error)) kind {
	attributes := merged(own, map[string]attribute{
		"allowedUses": {kind: "list"}, "validityPeriodHours": {},
		"earlyRenewalHours": {fallback: int64(0), inPlace: true}, "isCaCertificate": optionalBool, "setSubjectKeyId": optionalBool,
		"maxPathLength": computed, "readyForRenewal": {computed: true, fallback: false},
		"certPem": computed, "validityStartTime": computed, "validityEndTime": computed,
	})
	return kind{attributes: attributes, create: create, renewal: readyForRenewal, check: func(in object) (string, string) {
		for i, use := range list(in, "allowedUses") {
			if _, known := uses[text(use)]; !known && use != (unknown{}) {
				return fmt.Sprintf("allowedUses[%d]", i), fmt.Sprintf(
					"Invalid Attribute Value Match. Attribute allowed_uses[%d] value must be one of: %q, got: %q", i, sortedKeys(uses), use)
			}
		}
		return checkSubject(in)
	}}
}

func checkSubject(in object) (string, string) {
	given, _ := in["subject"].(object)
	for _, field := range sortedKeys(given) {
		if field != "commonName" && field != "organization" {
			return "subject." + field, "The stand-in's subjects have a commonName and an organization"
		}
	}
	return "", ""
}

// readyForRenewal: the certificate is in its early renewal period, in which the provider replaces it.
func readyForRenewal(state object) bool {
	end, err := time.Parse(time.RFC3339Nano, text(state, "validityEndTime"))
	early, _ := state["earlyRenewalHours"].(int64)
	return err == nil && !clock.Now().Before(end.Add(-time.Duration(early)*time.Hour))
}

func createPrivateKey(in object) (string, object, error) {
	var key crypto.Signer
	var err error
	switch in["algorithm"] {
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, int(in["rsaBits"].(int64)))
	case "ECDSA":
		curves := map[string]elliptic.Curve{"P256": elliptic.P256(), "P384": elliptic.P384()}
		curve, known := curves[text(in, "ecdsaCurve")]
		if !known {
			return "", nil, fmt.Errorf("Invalid curve: the stand-in does P256 and P384, not %q", text(in, "ecdsaCurve"))
		}
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	case "ED25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("Invalid algorithm: %q", in["algorithm"])
	}
	if err != nil {
		return "", nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", nil, err
	}
	sshKey, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", nil, err
	}
	sshBlock, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", nil, err
	}
	own := block("PRIVATE KEY", pkcs8)
	switch key := key.(type) {
	case *rsa.PrivateKey:
		own = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return "", nil, err
		}
		own = block("EC PRIVATE KEY", der)
	}
	return hash(public), object{"privateKeyPem": own, "privateKeyPemPkcs8": block("PRIVATE KEY", pkcs8), "publicKeyPem": block("PUBLIC KEY", public),
		"privateKeyOpenssh": string(pem.EncodeToMemory(sshBlock)), "publicKeyOpenssh": string(ssh.MarshalAuthorizedKey(sshKey)),
		"publicKeyFingerprintMd5": ssh.FingerprintLegacyMD5(sshKey), "publicKeyFingerprintSha256": ssh.FingerprintSHA256(sshKey)}, nil
}

func hash(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func parseKey(text string) (crypto.Signer, string, error) {
	decoded, rest := pem.Decode([]byte(text))
	if decoded == nil {
		return nil, "", fmt.Errorf("Failed to parse private key PEM: failed to decode PEM block: decoded bytes 0, undecoded %d", len(rest))
	}
	switch decoded.Type {
	case "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(decoded.Bytes)
		return key, "RSA", err
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(decoded.Bytes)
		return key, "ECDSA", err
	}
	return nil, "", fmt.Errorf("Failed to parse private key PEM: unsupported PEM preamble %q", decoded.Type)
}

func distinguishedName(subject any) pkix.Name {
	name := pkix.Name{CommonName: text(subject, "commonName")}
	if organization := text(subject, "organization"); organization != "" {
		name.Organization = []string{organization}
	}
	return name
}

func dnsNames(in object) (names []string) {
	for _, name := range list(in, "dnsNames") {
		names = append(names, text(name))
	}
	return names
}

func createRequest(in object) (string, object, error) {
	key, algorithm, err := parseKey(text(in, "privateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	request := x509.CertificateRequest{Subject: distinguishedName(in["subject"]), DNSNames: dnsNames(in)}
	der, err := x509.CreateCertificateRequest(rand.Reader, &request, key)
	if err != nil {
		return "", nil, fmt.Errorf("Failed to create certificate request: %w", err)
	}
	requestPem := block("CERTIFICATE REQUEST", der)
	return hash([]byte(requestPem)), object{"keyAlgorithm": algorithm, "certRequestPem": requestPem}, nil
}

func createSelfSigned(in object) (string, object, error) {
	key, algorithm, err := parseKey(text(in, "privateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	template := &x509.Certificate{Subject: distinguishedName(in["subject"]), DNSNames: dnsNames(in)}
	return sign(in, template, template, key.Public(), key, object{"keyAlgorithm": algorithm})
}

func createLocallySigned(in object) (string, object, error) {
	key, algorithm, err := parseKey(text(in, "caPrivateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	requestBlock, _ := pem.Decode([]byte(text(in, "certRequestPem")))
	issuerBlock, _ := pem.Decode([]byte(text(in, "caCertPem")))
	if requestBlock == nil || issuerBlock == nil {
		return "", nil, errors.New("Failed to parse PEM: certRequestPem and caCertPem must each hold one PEM block")
	}
	request, err := x509.ParseCertificateRequest(requestBlock.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("Failed to parse certificate request: %w", err)
	}
	issuer, err := x509.ParseCertificate(issuerBlock.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("Failed to parse CA certificate: %w", err)
	}
	template := &x509.Certificate{Subject: request.Subject, DNSNames: request.DNSNames}
	return sign(in, template, issuer, request.PublicKey, key, object{"caKeyAlgorithm": algorithm})
}

// sign fills in the certificate's own settings and issues it.
func sign(in object, template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer, out object) (string, object, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return "", nil, err
	}
	now := clock.Now()
	template.SerialNumber, template.NotBefore = serial, now
	template.NotAfter = now.Add(time.Duration(in["validityPeriodHours"].(int64)) * time.Hour)
	template.BasicConstraintsValid, template.IsCA = true, in["isCaCertificate"] == true
	for _, use := range list(in, "allowedUses") {
		switch use := uses[text(use)].(type) {
		case x509.KeyUsage:
			template.KeyUsage |= use
		case x509.ExtKeyUsage:
			template.ExtKeyUsage = append(template.ExtKeyUsage, use)
		}
	}
	if template.IsCA || in["setSubjectKeyId"] == true {
		if template.SubjectKeyId, err = keyID(public); err != nil {
			return "", nil, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return "", nil, fmt.Errorf("Failed to create certificate: %w", err)
	}
	out["certPem"] = block("CERTIFICATE", der)
	out["validityStartTime"], out["validityEndTime"] = now.UTC().Format(time.RFC3339Nano), template.NotAfter.UTC().Format(time.RFC3339Nano)
	out["readyForRenewal"] = readyForRenewal(object{"validityEndTime": out["validityEndTime"], "earlyRenewalHours": in["earlyRenewalHours"]})
	return serial.String(), out, nil
}

// keyID is the SHA-1 of the key's bit string (RFC 5280, 4.2.1.2).
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:], nil
}

var uses = map[string]any{
	"digital_signature": x509.KeyUsageDigitalSignature, "content_commitment": x509.KeyUsageContentCommitment, "key_encipherment": x509.KeyUsageKeyEncipherment,
	"data_encipherment": x509.KeyUsageDataEncipherment, "key_agreement": x509.KeyUsageKeyAgreement, "cert_signing": x509.KeyUsageCertSign,
	"crl_signing": x509.KeyUsageCRLSign, "encipher_only": x509.KeyUsageEncipherOnly, "decipher_only": x509.KeyUsageDecipherOnly,
	"any_extended": x509.ExtKeyUsageAny, "server_auth": x509.ExtKeyUsageServerAuth, "client_auth": x509.ExtKeyUsageClientAuth, "code_signing": x509.ExtKeyUsageCodeSigning,
	"email_protection": x509.ExtKeyUsageEmailProtection, "ipsec_end_system": x509.ExtKeyUsageIPSECEndSystem, "ipsec_tunnel": x509.ExtKeyUsageIPSECTunnel,
	"ipsec_user": x509.ExtKeyUsageIPSECUser, "timestamping": x509.ExtKeyUsageTimeStamping, "ocsp_signing": x509.ExtKeyUsageOCSPSigning,
	"microsoft_server_gated_crypto": x509.ExtKeyUsageMicrosoftServerGatedCrypto, "netscape_server_gated_crypto": x509.ExtKeyUsageNetscapeServerGatedCrypto,
	"microsoft_commercial_code_signing": x509.ExtKeyUsageMicrosoftCommercialCodeSigning, "microsoft_kernel_code_signing": x509.ExtKeyUsageMicrosoftKernelCodeSigning,
}
