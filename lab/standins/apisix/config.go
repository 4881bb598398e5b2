// Reads config.yaml as APISIX's command line does: environment first, then the keys that this stand-in knows; any other key is fatal.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// config holds every key that has an effect here, or of which validate allows just one value.
type config struct {
	Apisix struct {
		EnableAdmin    *bool    `json:"enable_admin"`
		EnableControl  *bool    `json:"enable_control"`
		EnableIPv6     *bool    `json:"enable_ipv6"`
		NodeListen     []listen `json:"node_listen"`
		Status         listen   `json:"status"`
		DataEncryption struct {
			EnableEncryptFields *bool   `json:"enable_encrypt_fields"`
			Keyring             keyring `json:"keyring"`
		} `json:"data_encryption"`
		SSL struct {
			Enable             *bool    `json:"enable"`
			Listen             []listen `json:"listen"`
			Protocols          string   `json:"ssl_protocols"`
			Ciphers            string   `json:"ssl_ciphers"`
			TrustedCertificate string   `json:"ssl_trusted_certificate"`
		} `json:"ssl"`
	} `json:"apisix"`
	Nginx struct {
		WorkerProcesses any    `json:"worker_processes"` // one process does the work of all
		HTTPSnippet     string `json:"http_configuration_snippet"`
		ServerSnippet   string `json:"http_server_configuration_snippet"`
		LocationSnippet string `json:"http_server_location_configuration_snippet"`
		AdminSnippet    string `json:"http_admin_configuration_snippet"`
		HTTP            struct {
			EnableAccessLog *bool `json:"enable_access_log"`
		} `json:"http"`
	} `json:"nginx_config"`
	Deployment struct {
		Role            string `json:"role"`
		RoleTraditional struct {
			ConfigProvider string `json:"config_provider"`
		} `json:"role_traditional"`
		Admin struct {
			Keys       []apiKey       `json:"admin_key"`
			EnableUI   *bool          `json:"enable_admin_ui"`
			AllowAdmin []netip.Prefix `json:"allow_admin"`
			Listen     listen         `json:"admin_listen"`
			HTTPS      bool           `json:"https_admin"`
			MTLS       struct {
				Cert string `json:"admin_ssl_cert"`
				Key  string `json:"admin_ssl_cert_key"`
				CA   string `json:"admin_ssl_ca_cert"`
			} `json:"admin_api_mtls"`
		} `json:"admin"`
		Etcd etcdConfig `json:"etcd"`
	} `json:"deployment"`

	server, location, admin snippet // the parsed snippets; location starts from server's
	adminLeaf               leaf
	plain                   map[string]int // by host, what ends a request without TLS: 0 is nothing
	upstreamLeaf            *leaf          // presented to upstreams that name no certificate
}

type etcdConfig struct {
	Host    []string `json:"host"`
	Prefix  string   `json:"prefix"`
	Timeout int      `json:"timeout"`
	// HealthCheckTimeout is how long a failed endpoint is passed over, in seconds.
	HealthCheckTimeout int    `json:"health_check_timeout"`
	User               string `json:"user"`
	Password           string `json:"password"`
	// TLS is the client leaf presented to etcd, and the name that etcd's certificate must have.
	TLS struct {
		Cert   string `json:"cert"`
		Key    string `json:"key"`
		Verify *bool  `json:"verify"`
		SNI    string `json:"sni"`
	} `json:"tls"`
}

// apiKey's Key is any: an all-digit environment value becomes a number, which no request matches.
type apiKey struct {
	Name string `json:"name"`
	Key  any    `json:"key"`
	Role string `json:"role"`
}

type listen struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

var envReference = regexp.MustCompile(`\$\{\{\s*(\w+)(?:(:=)(.*?))?\s*\}\}`)

// substitute replaces ${{VAR}} and ${{VAR:=default}}; a value that looks like a number or boolean then becomes one.
func substitute(v any) (any, error) {
	var err error
	switch t := v.(type) {
	case map[string]any:
		for k := range t {
			if t[k], err = substitute(t[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range t {
			if t[i], err = substitute(t[i]); err != nil {
				return nil, err
			}
		}
	case string:
		s := envReference.ReplaceAllStringFunc(t, func(reference string) string {
			m := envReference.FindStringSubmatch(reference)
			if value, ok := os.LookupEnv(m[1]); ok {
				return value
			}
			if m[2] == "" {
				err = fmt.Errorf("failed to handle configuration: can't find environment variable %s", m[1])
			}
			return m[3]
		})
		if s == t || err != nil {
			return s, err
		}
		if s == "true" || s == "false" {
			return s == "true", nil
		}
		if n, err := strconv.ParseInt(s, 0, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && f-f == 0 { // neither infinite nor NaN
			return f, nil
		}
		return s, nil
	}
	return v, nil
}

// readConfig returns the validated configuration, or the error that aborts the start.
func readConfig(home string) (*config, error) {
	c := &config{}
	raw, err := os.ReadFile(filepath.Join(home, "conf", "config.yaml"))
	if err == nil {
		err = c.parse(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read local yaml config of apisix: %w", err)
	}
	return c, c.validate()
}

func (c *config) parse(raw []byte) error {
	var tree any
	err := yaml.Unmarshal(raw, &tree)
	if err == nil {
		tree, err = substitute(tree)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(text, c)
	if err == nil && len(strict) > 0 {
		return fmt.Errorf("this stand-in does not know these keys (the real server ignores unknown keys silently): %w",
			errors.Join(strict...))
	}
	return err
}

// validate sets defaults, and refuses values that are not implemented.
func (c *config) validate() error {
	a, admin, etcd := &c.Apisix, &c.Deployment.Admin, &c.Deployment.Etcd
	setDefault(&c.Deployment.Role, "traditional")
	setDefault(&c.Deployment.RoleTraditional.ConfigProvider, "etcd")
	setDefault(&etcd.Timeout, 30)
	setDefault(&etcd.HealthCheckTimeout, 10)
	setDefault(&a.SSL.Protocols, "TLSv1.2 TLSv1.3")
	setDefault(&a.SSL.Ciphers, defaultCiphers)
	setDefault(&a.Status.IP, "127.0.0.1")
	setDefault(&a.Status.Port, 7085)
	setDefault(&admin.Listen.IP, "0.0.0.0")
	setDefault(&admin.Listen.Port, 9180)
	setDefaultList(&a.NodeListen, listen{Port: 9080})
	setDefaultList(&a.SSL.Listen, listen{Port: 9443})
	setDefaultList(&admin.AllowAdmin, netip.MustParsePrefix("127.0.0.0/24"))
	setDefaultList(&a.DataEncryption.Keyring, "qeddd145sfvddff3", "edd1c9f0985e76a2") // the real server's public defaults
	if admin.HTTPS && (admin.MTLS.Cert == "" || admin.MTLS.Key == "") {
		return errors.New("missing ssl cert for https admin")
	}
	if _, err := os.Stat(a.SSL.TrustedCertificate); err != nil && a.SSL.TrustedCertificate != "" {
		return fmt.Errorf("certificate path %s doesn't exist", a.SSL.TrustedCertificate)
	}
	for _, only := range []struct {
		holds bool
		what  string
	}{
		{c.Deployment.Role == "traditional" && c.Deployment.RoleTraditional.ConfigProvider == "etcd",
			"deployment.role traditional with config_provider etcd"},
		{isTrue(a.EnableAdmin), "apisix.enable_admin true"},
		{isTrue(a.SSL.Enable), "apisix.ssl.enable true"},
		{a.SSL.TrustedCertificate != "", "apisix.ssl.ssl_trusted_certificate with a path"},
		{isTrue(a.DataEncryption.EnableEncryptFields), "apisix.data_encryption.enable_encrypt_fields true"},
		{a.DataEncryption.Keyring.usable(),
			"apisix.data_encryption.keyring with keys of 16 characters; the real server takes 32 too"},
		{admin.HTTPS, "deployment.admin.https_admin true"},
		{len(admin.Keys) > 0 && !slices.ContainsFunc(admin.Keys, func(k apiKey) bool { return k.Key == nil || k.Key == "" }),
			"deployment.admin.admin_key with keys, of which none is empty; the real server would make one up"},
		{len(etcd.Host) > 0 && !slices.ContainsFunc(etcd.Host, func(url string) bool { return !strings.HasPrefix(url, "https://") }),
			"deployment.etcd.host with https:// URLs"},
		{strings.HasPrefix(etcd.Prefix, "/") && !strings.HasSuffix(etcd.Prefix, "/"), "deployment.etcd.prefix such as /apisix"},
		{isTrue(etcd.TLS.Verify), "deployment.etcd.tls.verify true"},
	} {
		if !only.holds {
			return errors.New("config.yaml: only this is stood in for: " + only.what)
		}
	}
	return c.parseSnippets()
}

// isTrue is for switches that are on unless config.yaml turns them off.
func isTrue(b *bool) bool { return b == nil || *b }

func setDefaultList[S ~[]T, T any](p *S, values ...T) {
	if *p == nil {
		*p = values
	}
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
