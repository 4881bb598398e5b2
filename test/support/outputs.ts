// A whole set of the stack's outputs.

import type { Plane } from "../../components/planes.ts";
import type { PlatformOutputs } from "../../outputs.ts";

const pods = { namespace: "mtls", selector: "app=x", port: 1, serverName: "x" };
const secret = { namespace: "mtls", name: "x" };
const entry = { ...secret, key: "k" };
const trust = <P extends Plane>(plane: P) => ({ ...entry, plane });
const issuer = <P extends Plane>(plane: P) => ({
  plane,
  kind: "Issuer" as const,
  name: plane,
  group: "cert-manager.io",
});

export const outputs: PlatformOutputs = {
  contract: 1,
  trustDomain: "dev",
  namespace: "mtls",
  gateway: { ...pods, url: "https://upstream/", service: { ...secret, port: 443 }, trust: trust("edge") },
  admin: { ...pods, cluster: "uid", trust: entry, certificate: secret, key: entry },
  store: {
    ...pods,
    cluster: "uid",
    trust: entry,
    certificate: secret,
    endpoints: ["https://etcd:2379"],
    peer: pods,
    user: "apisix",
    password: entry,
    prefix: "/apisix",
  },
  caller: {
    clientCertificate: "upstream-client",
    identity: { trustDomain: "dev", namespace: "mtls", serviceAccount: "apisix" },
  },
  upstream: {
    node: { host: "upstream.mtls.svc", port: 443 },
    serverName: "upstream.mtls.svc",
    trust: trust("upstream"),
    clientCertificate: { ...secret, plane: "upstream" },
    pods,
  },
  issuers: {
    etcd: issuer("etcd"),
    "etcd-peer": issuer("etcd-peer"),
    admin: issuer("admin"),
    edge: issuer("edge"),
    upstream: issuer("upstream"),
  },
  trust: {
    etcd: trust("etcd"),
    "etcd-peer": trust("etcd-peer"),
    admin: trust("admin"),
    edge: trust("edge"),
    upstream: trust("upstream"),
  },
  roots: { etcd: "PEM", "etcd-peer": "PEM", admin: "PEM", edge: "PEM", upstream: "PEM" },
  routes: [{ id: "hello", hosts: ["upstream"], uris: ["/"] }],
};
