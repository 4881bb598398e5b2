// APISIX's plan: its config.yaml, key by key, and a Deployment that follows the rules for pods.

import { deepStrictEqual as same, ok, strictEqual as equal } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { parse } from "yaml";

import { Apisix } from "../../components/apisix.ts";
import { apisixConfig, apisixConfigYaml } from "../../components/apisixConfig.ts";
import { apisixDeployment, apisixService, gatewayPolicy } from "../../components/apisixPlan.ts";
import type { Generation } from "../../components/generations.ts";
import { createAuthorities } from "../../components/certificateAuthority.ts";
import { podsOf, toNameService } from "../../components/edges.ts";
import { firstKeys } from "../../components/keyNames.ts";
import { renewerSidecar } from "../../components/renewer.ts";
import { houseBreaches, restrictedBreaches } from "../../policy/podSecurity.ts";
import { outputs } from "../support/outputs.ts";
import { hardened, labels, leafRef, podOf, secretVolume, spread, trustRef } from "./podSecurity.ts";

const store = { endpoints: ["https://etcd.mtls.svc:2379"], prefix: "/apisix", user: "apisix" };
const callers = [
  { trustDomain: "dev.example", namespace: "mtls", serviceAccount: "deployer" },
  { trustDomain: "next.example", namespace: "mtls", serviceAccount: "ops.team" },
];
const material = {
  etcdLeaf: leafRef("etcd", "etcd-client"),
  adminLeaf: leafRef("admin", "apisix-admin"),
  upstreamLeaf: leafRef("upstream", "apisix-upstream"),
  sealedBy: "1-0123abcd",
  renewerLeaf: leafRef("admin", "apisix-renewer"),
  etcdTrust: trustRef("etcd"),
  adminTrust: trustRef("admin"),
  upstreamTrust: trustRef("upstream"),
  annotations: { "mtls-everywhere/settings-digest": "of the settings" },
};
const generation: Generation = {
  ...{ name: "1", active: true, founder: true, kind: "cluster", trustDomain: "dev.example" },
  ...{ algorithm: "ECDSA-P256", rootDuration: "87600h" },
};
const deployment = (replicas = 2) =>
  apisixDeployment(
    "apisix",
    { namespace: "mtls", replicas, image: "apisix:3.18.0", renewerImage: "node:24", keys: firstKeys },
    material,
  );

describe("config.yaml", () => {
  it("asks for certificates everywhere, trusts one plane in each place, and contains no secret", () => {
    same(apisixConfig(store, firstKeys, callers), {
      apisix: {
        enable_admin: true,
        enable_control: false,
        enable_ipv6: false,
        node_listen: [{ ip: "127.0.0.1", port: 9080 }],
        status: { ip: "0.0.0.0", port: 7085 },
        data_encryption: { enable_encrypt_fields: true, keyring: ["${{KEYRING}}"] },
        ssl: {
          enable: true,
          listen: [{ port: 9443 }],
          ssl_protocols: "TLSv1.2 TLSv1.3",
          ssl_ciphers:
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" +
            "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
          ssl_trusted_certificate: "/trust/etcd/ca.crt",
        },
      },
      nginx_config: {
        worker_processes: 2,
        http_configuration_snippet:
          'map $host $leaves { default ""; }\nmap $ssl_client_verify $forwarded_client { default ""; ' +
          `SUCCESS 'Subject="$ssl_client_s_dn";Cert="$ssl_client_escaped_cert"'; }\n` +
          'map "$scheme:$host" $plain_http { default 403; "~^https:" ""; }\n',
        http_server_configuration_snippet:
          "ssl_session_cache off;\nssl_ecdh_curve X25519:prime256v1:secp384r1;\nkeepalive_time 60s;\n" +
          "proxy_ssl_verify on;\nproxy_ssl_verify_depth 2;\n" +
          "if ($plain_http = 403) { return 403; }\n" +
          "if ($plain_http = 308) { return 308 https://$host$request_uri; }\n",
        http_admin_configuration_snippet:
          "ssl_session_cache off;\nssl_ecdh_curve X25519:prime256v1:secp384r1;\nkeepalive_time 60s;\n" +
          'if ($ssl_client_s_dn !~ "^(?:CN=deployer,OU=mtls,O=dev\\.example|CN=ops\\.team,OU=mtls,O=next\\.example)$") { return 403; }\n',
        http_server_location_configuration_snippet:
          "proxy_ssl_trusted_certificate /trust/upstream/ca.crt;\nproxy_ssl_verify on;\nproxy_ssl_verify_depth 2;\n" +
          "proxy_ssl_certificate $leaves/tls/upstream/tls.crt;\nproxy_ssl_certificate_key $leaves/tls/upstream/tls.key;\n" +
          "set_by_lua_file $client_certificate /usr/local/apisix/conf/client-cert.lua;\n" +
          'more_set_input_headers "X-Forwarded-Client-Cert: $forwarded_client";\n' +
          'more_set_input_headers "Client-Cert: $client_certificate";\n' +
          ["Client-Cert-Chain", "X-Forwarded-Client_Cert", "X-Forwarded_Client-Cert", "X-Forwarded_Client_Cert"]
            .concat(["X_Forwarded-Client-Cert", "X_Forwarded-Client_Cert", "X_Forwarded_Client-Cert"])
            .concat(["X_Forwarded_Client_Cert", "Client_Cert"])
            .concat(["Client-Cert_Chain", "Client_Cert-Chain", "Client_Cert_Chain"])
            .map((name) => `more_set_input_headers "${name}: ";\n`)
            .join(""),
      },
      deployment: {
        role: "traditional",
        role_traditional: { config_provider: "etcd" },
        admin: {
          allow_admin: ["127.0.0.0/24"],
          admin_listen: { ip: "127.0.0.1", port: 9180 },
          https_admin: true,
          enable_admin_ui: false,
          admin_api_mtls: {
            admin_ssl_cert: "$leaves/tls/admin/tls.crt",
            admin_ssl_cert_key: "$leaves/tls/admin/tls.key",
            admin_ssl_ca_cert: "/trust/admin/ca.crt",
          },
          admin_key: [{ name: "admin", key: "${{ADMIN_KEY}}", role: "admin" }],
        },
        etcd: {
          host: ["https://etcd.mtls.svc:2379"],
          prefix: "/apisix",
          timeout: 30,
          health_check_timeout: 1,
          user: "apisix",
          password: "${{ETCD_PASSWORD}}",
          tls: { cert: "/tls/etcd/tls.crt", key: "/tls/etcd/tls.key", verify: true },
        },
      },
    });
  });

  it("opens the listener without TLS for the hosts that are named, and no other", () => {
    const { apisix, nginx_config } = apisixConfig(store, firstKeys, callers, {
      serve: ["foo.example"],
      redirect: ["api.example"],
    });
    same(apisix.node_listen, [{ ip: "0.0.0.0", port: 9080 }]);
    equal(
      nginx_config.http_configuration_snippet.split("\n")[2],
      'map "$scheme:$host" $plain_http { default 403; "~^https:" ""; "~^http:foo\\.example\\z" ""; "~^http:api\\.example\\z" 308; }',
    );
  });

  it("survives a round trip through YAML, for any store", () => {
    const text = fc.string({ minLength: 1 });
    const anyStore = fc.record({ endpoints: fc.array(text, { minLength: 1 }), prefix: text, user: text });
    fc.assert(
      fc.property(anyStore, (store) =>
        same(parse(apisixConfigYaml(store, firstKeys, callers)), apisixConfig(store, firstKeys, callers)),
      ),
    );
  });

  it("takes each key from its own variable: the first key seals, all open, all are accepted", () => {
    const keys = { keyring: ["2", "1"], adminKeys: ["2026-11", "1"], users: ["2", "1"] };
    const one = apisixConfig(store, firstKeys, callers);
    same(apisixConfig({ ...store, user: "apisix-2" }, keys, callers), {
      ...one,
      apisix: {
        ...one.apisix,
        data_encryption: { enable_encrypt_fields: true, keyring: ["${{KEYRING_2}}", "${{KEYRING}}"] },
      },
      deployment: {
        ...one.deployment,
        admin: {
          ...one.deployment.admin,
          admin_key: [
            { name: "admin-2026-11", key: "${{ADMIN_KEY_2026_11}}", role: "admin" },
            { name: "admin", key: "${{ADMIN_KEY}}", role: "admin" },
          ],
        },
        etcd: { ...one.deployment.etcd, user: "apisix-2", password: "${{ETCD_PASSWORD_2}}" },
      },
    });
  });
});

describe("APISIX's Deployment", () => {
  it("is the official image with writable folders in memory, and never has fewer pods during a rollout", () => {
    const folders = [...["conf", "logs", "client_body_temp", "proxy_temp", "fastcgi_temp", "uwsgi_temp", "scgi_temp"]];
    const scratch = (root: string) =>
      folders.map((folder) => ({ name: "scratch", mountPath: `${root}/${folder}`, subPath: folder }));
    const readOnly = (name: string, mountPath: string) => ({ name, mountPath, readOnly: true });
    const sidecar = renewerSidecar(
      "apisix",
      { renewerImage: "node:24", keys: firstKeys },
      material.renewerLeaf,
      "1-0123abcd",
    );
    const status = (path: string) => ({ httpGet: { path, port: 7085 } });
    same(deployment(), {
      metadata: { name: "apisix", namespace: "mtls", labels: labels("apisix") },
      spec: {
        replicas: 2,
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: { "app.kubernetes.io/name": "apisix" } },
        template: {
          metadata: {
            labels: labels("apisix"),
            annotations: {
              "mtls-everywhere/settings-digest": "of the settings",
              "mtls-everywhere/keys": '{"keyring":["1"],"adminKeys":["1"],"users":["1"]}',
            },
          },
          spec: {
            ...podOf("apisix", 636),
            ...spread("apisix"),
            initContainers: [
              {
                name: "home",
                image: "apisix:3.18.0",
                command: [
                  "sh",
                  "-c",
                  "cp -r /usr/local/apisix/conf/. /scratch/conf/ && cp /config/config.yaml /config/client-cert.lua /scratch/conf/ && " +
                    "ln -sf /dev/stdout /scratch/logs/access.log && ln -sf /dev/stderr /scratch/logs/error.log",
                ],
                securityContext: hardened,
                resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { memory: "128Mi" } },
                volumeMounts: [...scratch("/scratch"), readOnly("config", "/config")],
              },
              sidecar.container,
            ],
            containers: [
              {
                name: "apisix",
                image: "apisix:3.18.0",
                securityContext: hardened,
                resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "1Gi" } },
                envFrom: [{ secretRef: { name: "apisix-env" } }],
                ports: [
                  { name: "gateway", containerPort: 9443 },
                  { name: "status", containerPort: 7085 },
                ],
                startupProbe: { ...status("/status"), periodSeconds: 1, failureThreshold: 60 },
                readinessProbe: { ...status("/status/ready"), periodSeconds: 1 },
                livenessProbe: { ...status("/status"), periodSeconds: 10 },
                lifecycle: { preStop: { exec: { command: ["sleep", "10"] } } },
                volumeMounts: [
                  ...scratch("/usr/local/apisix"),
                  { name: "tmp", mountPath: "/tmp" },
                  readOnly("etcd-leaf", "/tls/etcd"),
                  readOnly("admin-leaf", "/tls/admin"),
                  readOnly("upstream-leaf", "/tls/upstream"),
                  readOnly("etcd-trust", "/trust/etcd"),
                  readOnly("admin-trust", "/trust/admin"),
                  readOnly("upstream-trust", "/trust/upstream"),
                ],
              },
            ],
            volumes: [
              { name: "scratch", emptyDir: {} },
              { name: "tmp", emptyDir: {} },
              { name: "config", configMap: { name: "apisix-config" } },
              secretVolume("etcd-leaf", "etcd-client"),
              secretVolume("admin-leaf", "apisix-admin"),
              secretVolume("upstream-leaf", "apisix-upstream"),
              { name: "etcd-trust", configMap: { name: "etcd-trust" } },
              { name: "admin-trust", configMap: { name: "admin-trust" } },
              { name: "upstream-trust", configMap: { name: "upstream-trust" } },
              ...sidecar.volumes,
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

  it("of one pod does not constrain its node", () => {
    equal("topologySpreadConstraints" in deployment(1).spec.template.spec, false);
  });

  it("finds every file of config.yaml in what it mounts", () => {
    const { containers } = deployment().spec.template.spec;
    const folders = containers[0]!.volumeMounts.map(({ mountPath }) => mountPath);
    const paths = JSON.stringify(apisixConfig(store, firstKeys, callers)).match(/\/(tls|trust)\/[^\s";]+/g) ?? [];
    ok(paths.length > 5);
    same(
      paths.filter((path) => !folders.some((folder) => path.startsWith(`${folder}/`))),
      [],
    );
  });

  it("accepts connections from anyone, and connects to any team's upstreams", () => {
    same(gatewayPolicy("apisix", { namespace: "mtls" }), {
      metadata: { name: "apisix-gateway", namespace: "mtls" },
      spec: {
        podSelector: { matchLabels: { "app.kubernetes.io/name": "apisix" } },
        policyTypes: ["Ingress", "Egress"],
        ingress: [{ ports: [{ protocol: "TCP", port: 9443 }] }],
        egress: [
          { to: [{ namespaceSelector: {}, podSelector: { matchLabels: { "mtls-everywhere/upstream": "true" } } }] },
          toNameService,
        ],
      },
    });
  });
});

describe("the gateway's Service", () => {
  const service = (serviceType: "ClusterIP" | "LoadBalancer", serviceAnnotations: Record<string, string> = {}) =>
    apisixService("apisix", { namespace: "mtls", serviceType, serviceAnnotations });
  const metadata = { name: "apisix", namespace: "mtls", labels: labels("apisix") };
  const spec = {
    selector: { "app.kubernetes.io/name": "apisix" },
    ports: [{ name: "https", port: 443, targetPort: 9443 }],
  };
  const skipAwait = { "pulumi.com/skipAwait": "true" };
  const internal = { "service.beta.kubernetes.io/aws-load-balancer-scheme": "internal" };

  it("is not waited for by the provider, which says nothing meanwhile (case 26)", () => {
    for (const type of ["ClusterIP", "LoadBalancer"] as const) {
      same(service(type), { metadata: { ...metadata, annotations: skipAwait }, spec: { type, ...spec } });
    }
  });

  it("has the configured annotations", () => {
    same(service("LoadBalancer", internal).metadata, { ...metadata, annotations: { ...skipAwait, ...internal } });
  });

  it("may wait for its pods as long as they may take to become ready", async () => {
    await pulumi.runtime.setMocks({
      newResource: ({ name, inputs }) => ({ id: name, state: inputs as object }),
      call: () => ({}),
    });
    const at = { namespace: "mtls", cluster: "uid" };
    const waits: Record<string, unknown> = {};
    const record: pulumi.ResourceTransformation = ({ type, opts }) => {
      const { customTimeouts } = opts as pulumi.CustomResourceOptions;
      if (customTimeouts) waits[type] = customTimeouts;
      return undefined;
    };
    new Apisix(
      "apisix",
      {
        ...at,
        authorities: createAuthorities("pki", {
          ...at,
          ...{ generations: [generation], clusterResourceNamespace: "cert-manager", leafDuration: "24h" },
          root: { kind: "cluster" },
        }),
        store: {
          store: pulumi.output(store),
          pods: podsOf("etcd", "mtls"),
          keeping: pulumi.output(outputs.admin.keptIn!),
          clientCertificate: pulumi.output(material.etcdLeaf),
          clientPasswords: [pulumi.output("password")],
        },
        apiServer: { addresses: ["192.0.2.1"], port: 6443 },
        keys: firstKeys,
        ...{ host: "upstream", replicas: 1, image: "apisix:3.18.0", renewerImage: "node:24" },
        ...{ readyTimeout: "90s", adminClients: [] },
        ...{ serviceType: "LoadBalancer", serviceAnnotations: {} },
      },
      { transformations: [record] },
    );
    same(waits, { "kubernetes:apps/v1:Deployment": { create: "90s", update: "90s" } });
  });
});
