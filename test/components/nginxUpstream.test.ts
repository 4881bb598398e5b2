// The upstream's plan: an nginx that answers only named callers, and resumes no session from a withdrawn root.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { nginxConfig } from "../../components/nginxConfig.ts";
import { callersPolicy, nginxDeployment, nginxPolicy, NginxUpstream } from "../../components/nginxUpstream.ts";
import { houseBreaches, restrictedBreaches } from "../../policy/podSecurity.ts";
import { type NetworkObject, reachable } from "../support/reach.ts";
import { rootPem } from "./mockedPlatform.ts";
import { hardened, labels, leafRef, podOf, secretVolume, trustRef } from "./podSecurity.ts";

const caller = (serviceAccount: string) => ({ trustDomain: "dev.example", namespace: "mtls", serviceAccount });
const args = { namespace: "mtls", image: "nginx:1.28.0" };
const material = {
  leaf: leafRef("upstream", "upstream-server"),
  trust: trustRef("upstream"),
  annotations: { "mtls-everywhere/settings-digest": "of the settings" },
};
const deployment = () => nginxDeployment("upstream", args, material);

describe("nginx.conf", () => {
  it("asks for a certificate, compares the whole subject, resumes no session", () => {
    equal(
      nginxConfig([caller("apisix"), caller("probe")], "docker.io/library/nginx:1.22"),
      `worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
  access_log /dev/stdout;
  server_tokens off;
  keepalive_time 3s;
  client_body_temp_path /tmp/client_body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  map_hash_bucket_size 256;
  map $ssl_client_s_dn $caller_allowed {
    default 0;
    "CN=apisix,OU=mtls,O=dev.example" 1;
    "CN=probe,OU=mtls,O=dev.example" 1;
  }
  map $host $leaves { default ""; }
  server {
    listen 8443 ssl;
    ssl_certificate $leaves/tls/tls.crt;
    ssl_certificate_key $leaves/tls/tls.key;
    ssl_client_certificate /trust/ca.crt;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_session_cache off;
    ssl_session_tickets off;
    if ($caller_allowed = 0) {
      return 403;
    }
    root /srv;
    index index.json;
    default_type application/json;
    location /.verify/ {
      default_type text/plain;
      return 200 "$http_x_forwarded_client_cert\\n$http_client_cert\\n";
    }
  }
}
`,
    );
  });

  it("caches an opened leaf for a second if its image's nginx can", () => {
    const cached = (image: string) =>
      nginxConfig([], image).includes("  ssl_certificate_cache max=8 valid=1s;\n  server {");
    const images = {
      "docker.io/library/nginx:1.28.0": true,
      "nginx:1.27.4-alpine": true,
      "registry.example:5000/mirror/nginx:1.30@sha256:00": true,
      "nginxinc/nginx-unprivileged:2.0.0": true,
      "nginx:1.27.3": false,
      "nginx:1.27": false,
      "nginx:1.22": false,
      "nginx:stable": false,
      "nginx@sha256:00": false,
      "example/not-nginx:1.28.0": false,
      "example/nginx-with-more:9.0.0": false,
    };
    same(Object.fromEntries(Object.keys(images).map((image) => [image, cached(image)])), images);
  });

  it("answers nobody if nobody is named", () => {
    equal(
      /map \$[^}]*}/.exec(nginxConfig([], "nginx:1.22"))?.[0],
      "map $ssl_client_s_dn $caller_allowed {\n    default 0;\n\n  }",
    );
  });
});

describe("the upstream's Deployment", () => {
  it("mounts a leaf, a trust bundle, settings and files, and writes only to memory", () => {
    const open = { tcpSocket: { port: 8443 } };
    same(deployment(), {
      metadata: { name: "upstream", namespace: "mtls", labels: labels("upstream") },
      spec: {
        replicas: 1,
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: { "app.kubernetes.io/name": "upstream" } },
        template: {
          metadata: {
            labels: { ...labels("upstream"), "mtls-everywhere/upstream": "true" },
            annotations: { "mtls-everywhere/settings-digest": "of the settings" },
          },
          spec: {
            ...podOf("upstream", 101),
            containers: [
              {
                name: "nginx",
                image: "nginx:1.28.0",
                command: ["nginx", "-c", "/etc/nginx-mtls/nginx.conf", "-g", "daemon off;"],
                securityContext: hardened,
                resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { memory: "128Mi" } },
                ports: [{ name: "https", containerPort: 8443 }],
                readinessProbe: { ...open, periodSeconds: 1 },
                livenessProbe: { ...open, periodSeconds: 10 },
                lifecycle: { preStop: { exec: { command: ["sleep", "5"] } } },
                volumeMounts: [
                  { name: "config", mountPath: "/etc/nginx-mtls", readOnly: true },
                  { name: "files", mountPath: "/srv", readOnly: true },
                  { name: "leaf", mountPath: "/tls", readOnly: true },
                  { name: "trust", mountPath: "/trust", readOnly: true },
                  { name: "scratch", mountPath: "/tmp" },
                ],
              },
            ],
            volumes: [
              { name: "config", configMap: { name: "upstream-config" } },
              { name: "files", configMap: { name: "upstream-files" } },
              secretVolume("leaf", "upstream-server"),
              { name: "trust", configMap: { name: "upstream-trust" } },
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

describe("the upstream's policy", () => {
  const upstream = { matchLabels: { "app.kubernetes.io/name": "shop" } };
  const gateway = { pods: { name: "apisix", namespace: "mtls", selector: "app.kubernetes.io/name=apisix" } };
  const gatewayPods = { matchLabels: { "app.kubernetes.io/name": "apisix" } };
  const isolated = { podSelector: upstream, policyTypes: ["Ingress", "Egress"] };
  const ports = [{ protocol: "TCP", port: 8443 }];

  it("lets the gateway in, and nobody out", () => {
    same(nginxPolicy("shop", { namespace: "mtls", gateway }), {
      metadata: { name: "shop-from-apisix", namespace: "mtls" },
      spec: { ...isolated, ingress: [{ from: [{ podSelector: gatewayPods }], ports }] },
    });
  });

  it("lets in the pods of its callers' namespaces by a policy of its own", () => {
    const from = ["tills", "web"].map((name) => ({
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
      podSelector: {},
    }));
    const clients = ["web/cart", "tills/till", "web/basket"].map((text) => {
      const [namespace = "", serviceAccount = ""] = text.split("/");
      return { namespace, serviceAccount };
    });
    same(callersPolicy("shop", "mtls", clients), {
      metadata: { name: "shop-from-callers", namespace: "mtls" },
      spec: { podSelector: upstream, policyTypes: ["Ingress"], ingress: [{ from, ports }] },
    });
  });

  it("knows the gateway in another namespace", () => {
    const namespaceSelector = { matchLabels: { "kubernetes.io/metadata.name": "mtls" } };
    same(nginxPolicy("shop", { namespace: "shop", gateway }), {
      metadata: { name: "shop-from-apisix", namespace: "shop" },
      spec: { ...isolated, ingress: [{ from: [{ namespaceSelector, podSelector: gatewayPods }], ports }] },
    });
  });
});

describe("an upstream with callers of its own", () => {
  /** What it makes, by kind and name. */
  async function made(allow?: readonly { namespace: string; serviceAccount: string }[]) {
    const made: Record<string, NetworkObject> = {};
    await pulumi.runtime.setMocks(
      {
        newResource({ type, name, inputs }) {
          const kind = type.split(":").at(-1)!;
          made[`${kind} ${name}`] = { kind, ...(inputs as Omit<NetworkObject, "kind">) };
          return { id: name, state: inputs as object };
        },
        call: () => ({}),
      },
      "project",
      "stack",
    );
    const upstream = new NginxUpstream("shop", {
      authority: {
        ...{ plane: "upstream", trustDomain: "dev.example", algorithm: "ECDSA-P256", leafDuration: "24h" },
        issuer: pulumi.output({ plane: "upstream", group: "cert-manager.io", kind: "ClusterIssuer", name: "upstream" }),
        ...{ trust: pulumi.output(trustRef("upstream")), roots: pulumi.output(rootPem) },
      } as const,
      ...{ namespace: "mtls", files: { "index.json": "{}" }, image: "nginx:1.22" },
      gateway: {
        pods: { name: "apisix", namespace: "mtls", selector: "app.kubernetes.io/name=apisix" },
        identities: [caller("apisix"), { ...caller("apisix"), trustDomain: "next.example" }],
        upstreamCertificate: pulumi.output(leafRef("upstream", "apisix-upstream")),
      },
      ...(allow && { allow }),
    });
    await new Promise((done) => upstream.upstream.apply(done));
    const { data } = made["ConfigMap shop-config"] as unknown as { readonly data: { readonly "nginx.conf": string } };
    return {
      answered: [...data["nginx.conf"].matchAll(/"(CN=[^"]+)" 1;/g)].map(([, subject]) => subject),
      open: reachable(
        Object.values(made).filter(({ kind }) => kind === "NetworkPolicy" || kind === "Deployment"),
        ["web", "tills"].map((namespace) => ({ name: `pod in ${namespace}`, namespace, labels: {} })),
      ),
    };
  }
  const gateway = ["CN=apisix,OU=mtls,O=dev.example", "CN=apisix,OU=mtls,O=next.example"];

  it("answers them in every trust domain, and opens the edge from their namespaces", async () => {
    same(await made([{ namespace: "web", serviceAccount: "cart" }]), {
      answered: [...gateway, "CN=cart,OU=web,O=dev.example", "CN=cart,OU=web,O=next.example"],
      open: ["pod in web -> shop TCP 8443"],
    });
  });

  it("answers the gateway alone if none are named", async () => {
    same(await made(), { answered: gateway, open: [] });
  });
});
