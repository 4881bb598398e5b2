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
	"net"
	"net/url"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

var (
	computedString = attribute{kind: "string", computed: true}
	optionalBool   = attribute{kind: "bool", fallback: false}
	privateKeyPem  = attribute{kind: "string", required: true, secret: true}
	subject        = attribute{kind: "block", fields: []string{"commonName", "country", "emailAddress", "locality", "organization", "organizationalUnit", "postalCode", "province", "serialNumber", "streetAddresses"}}
)

var tlsKinds = map[string]kind{
	"tls:index/privateKey:PrivateKey": {
		meta: "1",
		attributes: map[string]attribute{
			"algorithm": {kind: "string", required: true}, "ecdsaCurve": {kind: "string", fallback: "P224"}, "rsaBits": {kind: "number", fallback: int64(2048)},
			"privateKeyOpenssh": {kind: "string", computed: true, secret: true}, "privateKeyPem": {kind: "string", computed: true, secret: true},
			"privateKeyPemPkcs8": {kind: "string", computed: true, secret: true}, "publicKeyFingerprintMd5": computedString,
			"publicKeyFingerprintSha256": computedString, "publicKeyOpenssh": computedString, "publicKeyPem": computedString,
		},
		check:  func(in object) (string, string) { return oneOf(in, "algorithm", "RSA", "ECDSA", "ED25519") },
		create: createPrivateKey,
	},
	"tls:index/selfSignedCert:SelfSignedCert": certificateKind(map[string]attribute{
		"privateKeyPem": privateKeyPem, "keyAlgorithm": computedString, "subject": subject, "setAuthorityKeyId": optionalBool,
		"dnsNames": {kind: "list"}, "ipAddresses": {kind: "list"}, "uris": {kind: "list"},
	}, createSelfSigned),
	"tls:index/locallySignedCert:LocallySignedCert": certificateKind(map[string]attribute{
		"caPrivateKeyPem": privateKeyPem, "caKeyAlgorithm": computedString,
		"caCertPem": {kind: "string", required: true}, "certRequestPem": {kind: "string", required: true},
	}, createLocallySigned),
	"tls:index/certRequest:CertRequest": {
		attributes: map[string]attribute{"privateKeyPem": privateKeyPem, "keyAlgorithm": computedString, "subject": subject, "certRequestPem": computedString,
			"dnsNames": {kind: "list"}, "ipAddresses": {kind: "list"}, "uris": {kind: "list"}},
		create: createRequest,
	},
}

// certificateKind holds what self-signed and locally signed certificates have in common.
func certificateKind(own map[string]attribute, create func(object) (string, object, error)) kind {
	attributes := map[string]attribute{
		"allowedUses": {kind: "list", required: true}, "validityPeriodHours": {kind: "number", required: true},
		"earlyRenewalHours": {kind: "number", fallback: int64(0), inPlace: true}, "isCaCertificate": optionalBool, "setSubjectKeyId": optionalBool,
		"maxPathLength": {kind: "number", computed: true, input: true}, "readyForRenewal": {kind: "bool", computed: true, fallback: false},
		"certPem": computedString, "validityStartTime": computedString, "validityEndTime": computedString,
	}
	for name, a := range own {
		attributes[name] = a
	}
	return kind{attributes: attributes, create: create, renewal: readyForRenewal, check: func(in object) (string, string) {
		for i, use := range stringList(in["allowedUses"]) {
			if _, known := extendedUses[use]; !known && keyUses[use] == 0 {
				names := append(sortedKeys(keyUses), sortedKeys(extendedUses)...)
				slices.Sort(names)
				return fmt.Sprintf("allowedUses[%d]", i), fmt.Sprintf(
					"Invalid Attribute Value Match. Attribute allowed_uses[%d] value must be one of: %q, got: %q", i, names, use)
			}
		}
		if hours, known := in["validityPeriodHours"].(int64); known && hours < 0 {
			return "validityPeriodHours", fmt.Sprintf("Invalid Attribute Value. Attribute validity_period_hours value must be at least 0, got: %d", hours)
		}
		return "", ""
	}}
}

func oneOf(in object, key string, allowed ...string) (string, string) {
	if value, known := in[key].(string); known && !slices.Contains(allowed, value) {
		return key, fmt.Sprintf("Invalid Attribute Value Match. Attribute %s value must be one of: %q, got: %q", terraformName(key), allowed, value)
	}
	return "", ""
}

// readyForRenewal: the certificate has reached its early renewal period. The provider then replaces it.
func readyForRenewal(state object) bool {
	end, err := time.Parse(time.RFC3339Nano, text(state, "validityEndTime"))
	early, _ := state["earlyRenewalHours"].(int64)
	return err == nil && !time.Now().Before(end.Add(-time.Duration(early)*time.Hour))
}

func createPrivateKey(in object) (string, object, error) {
	var key crypto.Signer
	var err error
	switch in["algorithm"] {
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, int(in["rsaBits"].(int64)))
	case "ECDSA":
		curves := map[string]elliptic.Curve{"P224": elliptic.P224(), "P256": elliptic.P256(), "P384": elliptic.P384(), "P521": elliptic.P521()}
		curve, known := curves[text(in, "ecdsaCurve")]
		if !known {
			return "", nil, fmt.Errorf("Invalid curve: %q is not one of P224, P256, P384, P521", text(in, "ecdsaCurve"))
		}
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	case "ED25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
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
	out := object{"privateKeyPemPkcs8": block("PRIVATE KEY", pkcs8), "publicKeyPem": block("PUBLIC KEY", public),
		"privateKeyOpenssh": "", "publicKeyOpenssh": "", "publicKeyFingerprintMd5": "", "publicKeyFingerprintSha256": ""}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		out["privateKeyPem"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return "", nil, err
		}
		out["privateKeyPem"] = block("EC PRIVATE KEY", der)
	default:
		out["privateKeyPem"] = out["privateKeyPemPkcs8"]
	}
	// OpenSSH knows no P224: those fields stay empty.
	if sshKey, err := ssh.NewPublicKey(key.Public()); err == nil {
		sshBlock, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return "", nil, err
		}
		out["privateKeyOpenssh"] = string(pem.EncodeToMemory(sshBlock))
		out["publicKeyOpenssh"] = string(ssh.MarshalAuthorizedKey(sshKey))
		out["publicKeyFingerprintMd5"] = ssh.FingerprintLegacyMD5(sshKey)
		out["publicKeyFingerprintSha256"] = ssh.FingerprintSHA256(sshKey)
	}
	return hash(public), out, nil
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
	var key any
	var err error
	switch decoded.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(decoded.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(decoded.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(decoded.Bytes)
	default:
		err = fmt.Errorf("unsupported PEM preamble %q", decoded.Type)
	}
	if err != nil {
		return nil, "", fmt.Errorf("Failed to parse private key PEM: %w", err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, "RSA", nil
	case *ecdsa.PrivateKey:
		return key, "ECDSA", nil
	case ed25519.PrivateKey:
		return key, "ED25519", nil
	}
	return nil, "", errors.New("Failed to parse private key PEM: unsupported private key type")
}

func distinguishedName(v any) pkix.Name {
	some := func(field string) []string {
		if s := text(v, field); s != "" {
			return []string{s}
		}
		return nil
	}
	name := pkix.Name{CommonName: text(v, "commonName"), SerialNumber: text(v, "serialNumber"), Country: some("country"), Locality: some("locality"),
		Organization: some("organization"), OrganizationalUnit: some("organizationalUnit"), PostalCode: some("postalCode"), Province: some("province"),
		StreetAddress: stringList(at(v, "streetAddresses"))}
	if email := text(v, "emailAddress"); email != "" {
		name.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: email}}
	}
	return name
}

// alternativeNames reads the three lists of subject alternative names.
func alternativeNames(in object) (dns []string, ips []net.IP, uris []*url.URL, err error) {
	for _, address := range stringList(in["ipAddresses"]) {
		ip := net.ParseIP(address)
		if ip == nil {
			return nil, nil, nil, fmt.Errorf("Invalid IP address: failed to parse %q", address)
		}
		ips = append(ips, ip)
	}
	for _, raw := range stringList(in["uris"]) {
		uri, err := url.Parse(raw)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("Invalid URI: failed to parse %q", raw)
		}
		uris = append(uris, uri)
	}
	return stringList(in["dnsNames"]), ips, uris, nil
}

func createRequest(in object) (string, object, error) {
	key, algorithm, err := parseKey(text(in, "privateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	request := x509.CertificateRequest{Subject: distinguishedName(in["subject"])}
	if request.DNSNames, request.IPAddresses, request.URIs, err = alternativeNames(in); err != nil {
		return "", nil, err
	}
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
	template := &x509.Certificate{Subject: distinguishedName(in["subject"])}
	if template.DNSNames, template.IPAddresses, template.URIs, err = alternativeNames(in); err != nil {
		return "", nil, err
	}
	if in["setAuthorityKeyId"] == true {
		if template.AuthorityKeyId, err = keyID(key.Public()); err != nil {
			return "", nil, err
		}
	}
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
	template := &x509.Certificate{Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses, URIs: request.URIs}
	return sign(in, template, issuer, request.PublicKey, key, object{"caKeyAlgorithm": algorithm})
}

// sign fills in what comes from the certificate's own settings and issues it.
func sign(in object, template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer, out object) (string, object, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return "", nil, err
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore = serial, now
	template.NotAfter = now.Add(time.Duration(in["validityPeriodHours"].(int64)) * time.Hour)
	template.BasicConstraintsValid = true
	for _, use := range stringList(in["allowedUses"]) {
		if extended, known := extendedUses[use]; known {
			template.ExtKeyUsage = append(template.ExtKeyUsage, extended)
		}
		template.KeyUsage |= keyUses[use]
	}
	if template.IsCA = in["isCaCertificate"] == true; template.IsCA {
		if template.SubjectKeyId, err = keyID(public); err != nil {
			return "", nil, err
		}
		if length, given := in["maxPathLength"].(int64); given && length >= 0 {
			template.MaxPathLen, template.MaxPathLenZero = int(length), length == 0
		}
	} else if in["setSubjectKeyId"] == true {
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

var keyUses = map[string]x509.KeyUsage{
	"digital_signature": x509.KeyUsageDigitalSignature, "content_commitment": x509.KeyUsageContentCommitment, "key_encipherment": x509.KeyUsageKeyEncipherment,
	"data_encipherment": x509.KeyUsageDataEncipherment, "key_agreement": x509.KeyUsageKeyAgreement, "cert_signing": x509.KeyUsageCertSign,
	"crl_signing": x509.KeyUsageCRLSign, "encipher_only": x509.KeyUsageEncipherOnly, "decipher_only": x509.KeyUsageDecipherOnly,
}

var extendedUses = map[string]x509.ExtKeyUsage{
	"any_extended": x509.ExtKeyUsageAny, "server_auth": x509.ExtKeyUsageServerAuth, "client_auth": x509.ExtKeyUsageClientAuth, "code_signing": x509.ExtKeyUsageCodeSigning,
	"email_protection": x509.ExtKeyUsageEmailProtection, "ipsec_end_system": x509.ExtKeyUsageIPSECEndSystem, "ipsec_tunnel": x509.ExtKeyUsageIPSECTunnel,
	"ipsec_user": x509.ExtKeyUsageIPSECUser, "timestamping": x509.ExtKeyUsageTimeStamping, "ocsp_signing": x509.ExtKeyUsageOCSPSigning,
	"microsoft_server_gated_crypto": x509.ExtKeyUsageMicrosoftServerGatedCrypto, "netscape_server_gated_crypto": x509.ExtKeyUsageNetscapeServerGatedCrypto,
	"microsoft_commercial_code_signing": x509.ExtKeyUsageMicrosoftCommercialCodeSigning, "microsoft_kernel_code_signing": x509.ExtKeyUsageMicrosoftKernelCodeSigning,
}
