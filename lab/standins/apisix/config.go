// Reads config.yaml as APISIX's command line does: environment first, then the keys this stand-in knows; any other key stops the start.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// tlsFiles is deployment.etcd.tls: the client leaf shown to etcd, and how etcd's own certificate is checked.
type tlsFiles struct {
	Cert   string `json:"cert"`
	Key    string `json:"key"`
	Verify *bool  `json:"verify"`
	SNI    string `json:"sni"`
}

// config holds every key that has an effect here, or whose only honoured value is checked in validate.
type config struct {
	Apisix struct {
		EnableAdmin    *bool   `json:"enable_admin"`
		EnableControl  *bool   `json:"enable_control"`
		EnableIPv6     *bool   `json:"enable_ipv6"`
		EnableHTTP2    *bool   `json:"enable_http2"`
		NodeListen     listens `json:"node_listen"`
		Status         *listen `json:"status"`
		DataEncryption struct {
			EnableEncryptFields *bool    `json:"enable_encrypt_fields"`
			Keyring             []string `json:"keyring"`
		} `json:"data_encryption"`
		SSL struct {
			Enable             *bool   `json:"enable"`
			Listen             listens `json:"listen"`
			Protocols          string  `json:"ssl_protocols"`
			TrustedCertificate string  `json:"ssl_trusted_certificate"`
			SessionTickets     bool    `json:"ssl_session_tickets"`
			FallbackSNI        string  `json:"fallback_sni"`
		} `json:"ssl"`
	} `json:"apisix"`
	Nginx struct {
		ErrorLogLevel         string `json:"error_log_level"`
		WorkerProcesses       any    `json:"worker_processes"`
		WorkerShutdownTimeout string `json:"worker_shutdown_timeout"`
		ServerSnippet         string `json:"http_server_configuration_snippet"`
		LocationSnippet       string `json:"http_server_location_configuration_snippet"`
		AdminSnippet          string `json:"http_admin_configuration_snippet"`
		Event                 struct {
			WorkerConnections int `json:"worker_connections"`
		} `json:"event"`
		HTTP struct {
			EnableAccessLog  *bool  `json:"enable_access_log"`
			KeepaliveTimeout string `json:"keepalive_timeout"`
		} `json:"http"`
	} `json:"nginx_config"`
	Plugins    []string       `json:"plugins"`
	PluginAttr map[string]any `json:"plugin_attr"`
	Deployment struct {
		Role            string `json:"role"`
		RoleTraditional struct {
			ConfigProvider string `json:"config_provider"`
		} `json:"role_traditional"`
		Admin struct {
			KeyRequired  *bool     `json:"admin_key_required"`
			Keys         []apiKey  `json:"admin_key"`
			EnableCORS   *bool     `json:"enable_admin_cors"`
			EnableUI     *bool     `json:"enable_admin_ui"`
			AllowAdmin   *[]string `json:"allow_admin"`
			Listen       *listen   `json:"admin_listen"`
			HTTPS        bool      `json:"https_admin"`
			APIMTLS      adminMTLS `json:"admin_api_mtls"`
			AdminVersion string    `json:"admin_api_version"`
		} `json:"admin"`
		Etcd struct {
			Host               []string  `json:"host"`
			Prefix             string    `json:"prefix"`
			Timeout            int       `json:"timeout"`
			User               string    `json:"user"`
			Password           string    `json:"password"`
			WatchTimeout       int       `json:"watch_timeout"`
			StartupRetry       int       `json:"startup_retry"`
			HealthCheckTimeout int       `json:"health_check_timeout"`
			TLS                *tlsFiles `json:"tls"`
		} `json:"etcd"`
	} `json:"deployment"`

	server, location, admin snippet        // the three parsed snippets
	allow                   []netip.Prefix // deployment.admin.allow_admin
}

type adminMTLS struct {
	Cert string `json:"admin_ssl_cert"`
	Key  string `json:"admin_ssl_cert_key"`
	CA   string `json:"admin_ssl_ca_cert"`
}

// apiKey's Key is any: an all-digit environment value becomes a number, and then no request matches it.
type apiKey struct {
	Name string `json:"name"`
	Key  any    `json:"key"`
	Role string `json:"role"`
}

type listen struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

// listens accepts APISIX's three spellings: 9080, [9080] and [{ip, port}].
type listens []listen

func (l *listens) UnmarshalJSON(b []byte) error {
	var one int
	if json.Unmarshal(b, &one) == nil {
		*l = listens{{Port: one}}
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(b, &items); err != nil {
		return err
	}
	*l = listens{}
	for _, item := range items {
		entry := listen{}
		if json.Unmarshal(item, &entry.Port) != nil {
			if strict, err := kjson.UnmarshalStrict(item, &entry); err != nil || len(strict) > 0 {
				return fmt.Errorf("listen %s: %v", item, errors.Join(append(strict, err)...))
			}
		}
		*l = append(*l, entry)
	}
	return nil
}

var envReference = regexp.MustCompile(`\$\{\{\s*(\w+)(?:(:=)(.*?))?\s*\}\}`)

// substitute replaces ${{VAR}} and ${{VAR:=default}} in keys and values; a value that then looks like a number or boolean becomes one.
func substitute(v any, env func(string) (string, bool)) (any, error) {
	switch t := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range t {
			key, err := substituteText(k, env)
			if err != nil {
				return nil, err
			}
			if out[key], err = substitute(e, env); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		for i, e := range t {
			s, err := substitute(e, env)
			if err != nil {
				return nil, err
			}
			t[i] = s
		}
	case string:
		s, err := substituteText(t, env)
		if err != nil || s == t {
			return s, err
		}
		if s == "true" || s == "false" {
			return s == "true", nil
		}
		if n, err := strconv.ParseInt(s, 0, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && f == f && f-f == 0 {
			return f, nil
		}
		return s, nil
	}
	return v, nil
}

func substituteText(s string, env func(string) (string, bool)) (string, error) {
	var missing error
	out := envReference.ReplaceAllStringFunc(s, func(ref string) string {
		m := envReference.FindStringSubmatch(ref)
		if v, ok := env(m[1]); ok {
			return v
		}
		if m[2] == "" {
			missing = fmt.Errorf("failed to handle configuration: can't find environment variable %s", m[1])
		}
		return m[3]
	})
	return out, missing
}

// readConfig returns the validated configuration, or the error that ends the start.
func readConfig(home string) (*config, error) {
	raw, err := os.ReadFile(filepath.Join(home, "conf", "config.yaml"))
	if err != nil {
		return nil, err
	}
	return parseConfig(raw, os.LookupEnv)
}

func parseConfig(raw []byte, env func(string) (string, bool)) (*config, error) {
	wrap := func(err error) error { return fmt.Errorf("failed to read local yaml config of apisix: %w", err) }
	var tree any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, wrap(err)
	}
	tree, err := substitute(tree, env)
	if err != nil {
		return nil, wrap(err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, wrap(err)
	}
	c := &config{}
	strict, err := kjson.UnmarshalStrict(text, c)
	if err == nil && len(strict) > 0 {
		err = fmt.Errorf("this stand-in does not know these keys (the real server ignores unknown keys silently): %w", errors.Join(strict...))
	}
	if err != nil {
		return nil, wrap(err)
	}
	return c, c.validate()
}

func (c *config) validate() error {
	d, a := &c.Deployment, &c.Apisix
	if (d.Role != "" && d.Role != "traditional") || (d.RoleTraditional.ConfigProvider != "" && d.RoleTraditional.ConfigProvider != "etcd") {
		return errors.New("only deployment.role traditional with config_provider etcd is stood in for")
	}
	if len(d.Etcd.Host) == 0 || d.Etcd.Prefix == "" {
		return errors.New(`failed to validate config: property "etcd" validation failed: property "host" and "prefix" are required`)
	}
	d.Etcd.Prefix = strings.TrimSuffix(d.Etcd.Prefix, "/")
	for _, host := range d.Etcd.Host {
		if strings.HasPrefix(host, "https://") && d.Etcd.TLS == nil {
			d.Etcd.TLS = &tlsFiles{}
		}
	}
	setDefault(&d.Etcd.Timeout, 30)
	setDefault(&d.Etcd.WatchTimeout, 50)
	setDefault(&d.Etcd.StartupRetry, 2)
	setDefault(&d.Etcd.HealthCheckTimeout, 10)
	setDefault(&a.SSL.TrustedCertificate, "system")
	setDefault(&a.SSL.Protocols, "TLSv1.2 TLSv1.3")
	setDefault(&c.Nginx.HTTP.KeepaliveTimeout, "60s")
	setDefault(&c.Nginx.WorkerShutdownTimeout, "240s")
	if a.SSL.TrustedCertificate == "system" {
		a.SSL.TrustedCertificate = "/etc/ssl/certs/ca-certificates.crt"
	}
	if _, err := os.Stat(a.SSL.TrustedCertificate); err != nil && d.Etcd.TLS != nil {
		return fmt.Errorf("certificate path %s doesn't exist", a.SSL.TrustedCertificate)
	}
	if a.NodeListen == nil {
		a.NodeListen = listens{{Port: 9080}}
	}
	if a.SSL.Listen == nil {
		a.SSL.Listen = listens{{Port: 9443}}
	}
	if a.Status == nil {
		a.Status = &listen{}
	}
	setDefault(&a.Status.IP, "127.0.0.1")
	setDefault(&a.Status.Port, 7085)
	if d.Admin.Listen == nil {
		d.Admin.Listen = &listen{}
	}
	setDefault(&d.Admin.Listen.IP, "0.0.0.0")
	setDefault(&d.Admin.Listen.Port, 9180)
	if a.DataEncryption.Keyring == nil {
		a.DataEncryption.Keyring = []string{"qeddd145sfvddff3", "edd1c9f0985e76a2"} // the real server's public defaults
	}
	for _, key := range a.DataEncryption.Keyring {
		if len(key) < 16 {
			return errors.New(`property "data_encryption" validation failed: each key of the keyring needs at least 16 characters`)
		}
	}
	if d.Admin.HTTPS && (d.Admin.APIMTLS.Cert == "" || d.Admin.APIMTLS.Key == "") {
		return errors.New("missing ssl cert for https admin")
	}
	if isTrue(d.Admin.KeyRequired, true) {
		if len(d.Admin.Keys) == 0 {
			return errors.New("deployment.admin.admin_key is absent: the real server would generate one and rewrite config.yaml; this stand-in does not, set a key")
		}
		for _, k := range d.Admin.Keys {
			if k.Key == nil || k.Key == "" {
				return errors.New("deployment.admin.admin_key has an empty key: the real server would generate one and rewrite config.yaml; this stand-in does not, set a key")
			}
		}
	}
	allow := []string{"127.0.0.0/24"}
	if d.Admin.AllowAdmin != nil {
		allow = *d.Admin.AllowAdmin
	}
	for _, cidr := range allow {
		prefix, err := netip.ParsePrefix(cidr)
		if addr, aerr := netip.ParseAddr(cidr); err != nil && aerr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return fmt.Errorf("invalid configuration: deployment.admin.allow_admin: %w", err)
		}
		c.allow = append(c.allow, prefix.Masked())
	}
	for _, value := range []string{c.Nginx.HTTP.KeepaliveTimeout, c.Nginx.WorkerShutdownTimeout} {
		if _, err := nginxTime(value); err != nil {
			return err
		}
	}
	var err error
	if c.server, err = parseSnippet("http_server_configuration_snippet", c.Nginx.ServerSnippet); err != nil {
		return err
	}
	if c.location, err = parseSnippet("http_server_location_configuration_snippet", c.Nginx.LocationSnippet); err != nil {
		return err
	}
	if c.server.proxyTrusted != "" {
		return duplicate("proxy_ssl_trusted_certificate", "http_server_configuration_snippet")
	}
	c.admin, err = parseSnippet("http_admin_configuration_snippet", c.Nginx.AdminSnippet)
	return err
}

// snippet is the union of the nginx directives known here; zero values mean "not given".
type snippet struct {
	noSessions        bool // ssl_session_cache off: neither TLS 1.2 nor 1.3 resumes
	keepaliveTime     time.Duration
	keepaliveTimeout  time.Duration
	proxyTrusted      string
	proxyVerify       *bool
	proxyDepth, depth *int
	proxyName         string
}

func parseSnippet(where, text string) (s snippet, err error) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i], _, _ = strings.Cut(line, "#")
	}
	for _, statement := range strings.Split(strings.Join(lines, " "), ";") {
		words := strings.Fields(statement)
		if len(words) == 0 {
			continue
		}
		fail := fmt.Errorf("%s: unknown directive or value \"%s\": this stand-in does not know it", where, strings.Join(words, " "))
		if len(words) != 2 {
			return s, fail
		}
		ok, value := true, words[1]
		flag, number := value == "on", 0
		fmt.Sscanf(value, "%d", &number)
		isFlag := value == "on" || value == "off"
		inServer := where != "http_server_location_configuration_snippet"
		switch words[0] {
		case "ssl_session_cache":
			ok, s.noSessions = value == "off" && inServer, true
		case "ssl_session_tickets":
			err = duplicate(words[0], where)
		case "ssl_verify_depth":
			ok, s.depth = strconv.Itoa(number) == value && inServer, &number
		case "keepalive_time":
			s.keepaliveTime, err = nginxTime(value)
		case "keepalive_timeout":
			s.keepaliveTimeout, err = nginxTime(value)
		case "proxy_ssl_trusted_certificate":
			s.proxyTrusted = value
		case "proxy_ssl_verify":
			ok, s.proxyVerify = isFlag, &flag
		case "proxy_ssl_verify_depth":
			ok, s.proxyDepth = strconv.Itoa(number) == value, &number
		case "proxy_ssl_name":
			s.proxyName = strings.TrimPrefix(value, "$upstream_host") // the template's own value
			ok = !strings.HasPrefix(s.proxyName, "$")
		case "proxy_ssl_server_name":
			ok = flag
		default:
			ok = false
		}
		if err == nil && !ok {
			err = fail
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// duplicate is nginx's refusal of a directive that APISIX's own template has already put into the same block.
func duplicate(directive, where string) error {
	return fmt.Errorf("nginx: [emerg] %q directive is duplicate: %s, the template has one", directive, where)
}

// nginxTime reads nginx's time values: 20s, 1m, 500ms, plain seconds.
func nginxTime(value string) (time.Duration, error) {
	if _, err := strconv.Atoi(value); err == nil {
		value += "s"
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("invalid time value %q", value)
	}
	return d, nil
}

func isTrue(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
