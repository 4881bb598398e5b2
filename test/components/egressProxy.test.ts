// The egress proxy's plan: what nginx is told, what its pods mount, and whom they may reach.

import { deepStrictEqual as same, doesNotMatch, strictEqual as equal } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { egressCommand, egressConfig } from "../../components/egressConfig.ts";
import { egressDeployment, egressPolicies } from "../../components/egressProxy.ts";
import { houseBreaches, restrictedBreaches } from "../../policy/podSecurity.ts";
import { hardened, labels, leafRef, podOf, secretVolume, spread, trustRef } from "./podSecurity.ts";

const caller = { trustDomain: "dev.example", namespace: "mtls", serviceAccount: "apisix" };
const roots = "-----BEGIN CERTIFICATE-----\nbe read by nginx alone\n-----END CERTIFICATE-----\n";
const services = {
  payments: { host: "api.payments.example", roots },
  mail: {
    host: "mail.example",
    port: 8443,
    roots,
    clientCertificate: { namespace: "shop", name: "for-mail" },
    cidrs: ["203.0.113.0/24", "2001:db8::/32"],
  },
};
const gateway = { pods: { name: "apisix", namespace: "mtls", selector: "app.kubernetes.io/name=apisix" } };
const args = { namespace: "shop", image: "nginx:1.28.0", services };

describe("the egress proxy's nginx.conf", () => {
  const servers = egressConfig("egress", args, [caller]).split("\n  server {\n");
  const suites =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
  const listening = (service: string, more = "") => `    listen 8443 ssl${more};
    ssl_certificate $leaves/tls/${service}/tls.crt;
    ssl_certificate_key $leaves/tls/${service}/tls.key;
    ssl_client_certificate /trust/ca.crt;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ${suites};
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_session_cache off;
    ssl_session_tickets off;
    if ($caller_allowed = 0) {
      return 403;
    }
`;

  it("has a server for each service, with its own leaf, trust and client certificate, and one for all else", () => {
    equal(servers.length, 4);
    equal(servers[1], `${listening("payments", " default_server")}    return 421;\n  }`);
    equal(
      servers[3],
      `${listening("mail")}    server_name mail.egress.shop.svc;
    set $outside "https://mail.example:8443";
    location / {
      proxy_pass $outside;
      proxy_ssl_trusted_certificate /etc/nginx-mtls/mail.crt;
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_name mail.example;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;
      proxy_ssl_ciphers ${suites};
      proxy_ssl_session_reuse off;
      proxy_ssl_certificate $leaves/clients/mail/tls.crt;
      proxy_ssl_certificate_key $leaves/clients/mail/tls.key;
      proxy_set_header Host mail.example:8443;
      proxy_set_header X-Forwarded-Client-Cert "";
      proxy_set_header Client-Cert "";
      proxy_set_header X-Real-IP "";
      proxy_set_header X-Forwarded-For "";
      proxy_set_header X-Forwarded-Host "";
      proxy_set_header X-Forwarded-Port "";
      proxy_set_header X-Forwarded-Prefix "";
      proxy_set_header X-Forwarded-Proto "";
      proxy_http_version 1.1;
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_send_timeout 1h;
      proxy_read_timeout 1h;
      proxy_connect_timeout 5s;
    }
  }
}
`,
    );
  });

  it("presents nothing to a service that no certificate is given for, and names it without the usual port", () => {
    doesNotMatch(servers[2]!, /proxy_ssl_certificate/);
    same(/proxy_set_header Host.*/.exec(servers[2]!)?.[0], "proxy_set_header Host api.payments.example;");
  });
});

describe("the egress proxy's command", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "egress-command-"))));
  after(() => rmSync(folder, { recursive: true }));

  it("gives nginx the name servers of the pod", () => {
    const said =
      "# nameserver 1.1.1.1\nsearch svc\nnameserver 10.96.0.10\nnameserver  fd00::a \nnameserver fe80::1%eth0\n";
    writeFileSync(join(folder, "resolv.conf"), said);
    const [shell = "", flag = "", script = ""] = egressCommand;
    const here = script
      .replace("/etc/resolv.conf", join(folder, "resolv.conf"))
      .replace("/tmp/resolver.conf", join(folder, "resolver.conf"))
      .replace("exec nginx", "exec echo nginx");
    equal(
      execFileSync(shell, [flag, here], { encoding: "utf8" }),
      "nginx -c /etc/nginx-mtls/nginx.conf -g daemon off;\n",
    );
    equal(readFileSync(join(folder, "resolver.conf"), "utf8"), "resolver 10.96.0.10 [fd00::a] ;\n");
  });
});

describe("the egress proxy's Deployment", () => {
  const material = {
    leaves: { payments: leafRef("upstream", "egress-payments"), mail: leafRef("upstream", "egress-mail") },
    clients: { mail: { name: "for-mail" } },
    trust: trustRef("upstream"),
    annotations: { "mtls-everywhere/settings-digest": "of the settings" },
  };
  const deployment = () => egressDeployment("egress", { ...args, replicas: 2 }, material);

  it("mounts a leaf for each service, and a client certificate for those that have one", () => {
    const open = { tcpSocket: { port: 8443 } };
    const read = (name: string, mountPath: string) => ({ name, mountPath, readOnly: true });
    same(deployment(), {
      metadata: { name: "egress", namespace: "shop", labels: labels("egress") },
      spec: {
        replicas: 2,
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: { "app.kubernetes.io/name": "egress" } },
        template: {
          metadata: {
            labels: { ...labels("egress"), "mtls-everywhere/upstream": "true" },
            annotations: { "mtls-everywhere/settings-digest": "of the settings" },
          },
          spec: {
            ...podOf("egress", 101),
            ...spread("egress"),
            containers: [
              {
                name: "nginx",
                image: "nginx:1.28.0",
                command: egressCommand,
                securityContext: hardened,
                resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { memory: "256Mi" } },
                ports: [{ name: "https", containerPort: 8443 }],
                readinessProbe: { ...open, periodSeconds: 1 },
                livenessProbe: { ...open, periodSeconds: 10 },
                lifecycle: { preStop: { exec: { command: ["sleep", "5"] } } },
                volumeMounts: [
                  read("config", "/etc/nginx-mtls"),
                  read("trust", "/trust"),
                  read("payments-leaf", "/tls/payments"),
                  read("mail-leaf", "/tls/mail"),
                  read("mail-client", "/clients/mail"),
                  { name: "scratch", mountPath: "/tmp" },
                ],
              },
            ],
            volumes: [
              { name: "config", configMap: { name: "egress-config" } },
              { name: "trust", configMap: { name: "upstream-trust" } },
              secretVolume("payments-leaf", "egress-payments"),
              secretVolume("mail-leaf", "egress-mail"),
              secretVolume("mail-client", "for-mail"),
              { name: "scratch", emptyDir: {} },
            ],
          },
        },
      },
    });
  });

  it("follows the rules for pods", () => {
    const pod = deployment().spec.template.spec;
    same([...restrictedBreaches(pod), ...houseBreaches(pod)], []);
  });
});

describe("the egress proxy's policies", () => {
  it("let the gateway in, and these pods out: to each service's networks, on its port", () => {
    const podSelector = { matchLabels: { "app.kubernetes.io/name": "egress" } };
    const inNamespace = (name: string) => ({ matchLabels: { "kubernetes.io/metadata.name": name } });
    const pods = (name: string, namespace: string, label: string) => ({
      namespaceSelector: inNamespace(namespace),
      podSelector: { matchLabels: { [label]: name } },
    });
    const tcp = (port: number) => [{ protocol: "TCP", port }];
    const to = (...cidrs: string[]) => cidrs.map((cidr) => ({ ipBlock: { cidr } }));
    const nameService = pods("kube-dns", "kube-system", "k8s-app");
    same(egressPolicies("egress", { ...args, gateway }), [
      {
        metadata: { name: "egress-from-apisix", namespace: "shop" },
        spec: {
          ...{ podSelector, policyTypes: ["Ingress"] },
          ingress: [{ from: [pods("apisix", "mtls", "app.kubernetes.io/name")], ports: tcp(8443) }],
        },
      },
      {
        metadata: { name: "egress-outwards", namespace: "shop" },
        spec: {
          ...{ podSelector, policyTypes: ["Egress"] },
          egress: [
            { to: [nameService, ...to("169.254.20.10/32")], ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] },
            { to: to("0.0.0.0/0", "::/0"), ports: tcp(443) },
            { to: to("203.0.113.0/24", "2001:db8::/32"), ports: tcp(8443) },
          ],
        },
      },
    ]);
  });
});
