// The example upstream-tls in a lab: clients without TLS, and a service outside with other people's certificates.

import { doesNotMatch, equal, match, rejects } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { AppsV1Api, CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import { tempPaths } from "../../components/nginxServer.ts";
import { parseOutputs, type PlatformOutputs } from "../../outputs.ts";
import { apisixPorts } from "../../vocabulary/ports.ts";
import { Authority } from "../support/authorities.ts";
import { type Config, LabStacks, type Stack } from "./labStacks.ts";
import { inOrder } from "./ownLab.ts";

const partner = "partner";
const full = (service: string) => `${service}.${partner}.svc.cluster.local`;

describe("a service outside, for clients without TLS", function () {
  this.timeout(300_000);
  this.slow(1);

  let lab: LabStacks;
  let example: Stack;
  let outputs: PlatformOutputs;
  let right: Config;
  let ours: Authority;

  before(async function () {
    this.timeout(30 * 60_000); // with an empty cache, everything is built first
    // The lab refuses to start anywhere else.
    if (process.platform !== "linux" || process.getuid?.() !== 0) this.skip();
    lab = await LabStacks.start();
    const platform = await lab.stack(".", {
      ...lab.platformConfig,
      "mtls-everywhere:gateway": {
        ...{ host: "upstream", clients: ["curl"] },
        plainHttp: { serve: ["foo.example.com"], redirect: ["moved.example"] },
      },
    });
    await platform.up(lab.kubeconfig);
    outputs = parseOutputs(await platform.outputs(lab.kubeconfig));

    const { image } = lab.platformConfig["mtls-everywhere:upstream"] as { image: string };
    const authority = await Authority.create("partner");
    ours = await Authority.create("ours");
    await startPartner(authority, image);
    right = {
      ...{ "upstream-tls:image": image, "upstream-tls:roots": authority.root },
      ...{ "upstream-tls:service": full("api"), "upstream-tls:port": 443 },
    };
    example = await lab.stack("examples/upstream-tls", right);
  });

  inOrder();
  after(() => lab?.stop());

  it("is refused without an authority to verify it", async () => {
    await example.configure({ ...right, "upstream-tls:roots": "none" });
    await rejects(example.preview(lab.kubeconfig), /service "foo": its roots cannot be trusted\./);
  });

  it("is a 502 with another authority", async () => {
    await example.configure({ ...right, "upstream-tls:roots": (await Authority.create("other")).root });
    await example.up(lab.kubeconfig);
    equal((await plain()).status, 502);
  });

  it("is a 502 under a name that its certificate lacks", async () => {
    await example.configure({ ...right, "upstream-tls:service": full("alias") });
    await example.up(lab.kubeconfig);
    equal((await plain()).status, 502);
  });

  it("answers through the gateway once it is verified, and sees no certificate of the platform's", async () => {
    await example.configure(right);
    await example.up(lab.kubeconfig);
    const { status, text } = await plain();
    equal(status, 200);
    match(text, /^certificate: none, host: api\.partner\.svc\.cluster\.local, forwarded: $/);
    // It asked for one: the same server takes whatever it is shown.
    doesNotMatch(text, /apisix|egress/);
  });

  it("sees the certificate that is given for it, and refuses whoever has none if it insists", async () => {
    await example.configure({ ...right, "upstream-tls:port": 444 });
    await example.up(lab.kubeconfig);
    equal((await plain()).status, 400);
    const { cert, key } = await ours.leaf({ subject: "CN=customer" });
    const body = {
      metadata: { name: "for-partner" },
      type: "kubernetes.io/tls",
      stringData: { "tls.crt": cert, "tls.key": key },
    };
    await core().createNamespacedSecret({ namespace: "outside", body });
    await example.configure({ ...right, "upstream-tls:port": 444, "upstream-tls:clientCertificate": "for-partner" });
    await example.up(lab.kubeconfig);
    match((await plain()).text, /^certificate: CN=customer, host: api\.partner\.svc\.cluster\.local:444, forwarded: $/);
  });

  it("does not open the platform's own host, however a client without TLS asks for it", async () => {
    for (const host of ["upstream", "UPSTREAM", "upstream.", "upstream:443", "elsewhere.example"])
      equal((await plain("GET / HTTP/1.1", host)).status, 403, host);
    for (const line of ["GET http://upstream/ HTTP/1.1", "GET https://upstream/ HTTP/1.1"])
      equal((await plain(line)).status, 403, line);
  });

  it("sends a host's clients to https where they shall go there", async () => {
    const { status, location } = await plain("GET /a?b=c HTTP/1.1", "Moved.Example:80");
    equal(`${status} ${location}`, "308 https://moved.example/a?b=c");
  });

  const config = () => {
    const config = new KubeConfig();
    config.loadFromFile(lab.kubeconfig);
    return config;
  };
  const core = () => config().makeApiClient(CoreV1Api);

  /** Ends once the proxy's former pod has gone: it goes on answering for a moment, as it was configured. */
  async function rolled(): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const { items } = await core().listNamespacedPod({ namespace: "outside" });
      if (items.length <= 1) return;
      if (Date.now() > deadline) throw new Error("the proxy's former pod does not go");
      await sleep(500);
    }
  }

  /** What the gateway answers on its port without TLS. A changed route is live within a moment. */
  async function plain(line = "GET /headers HTTP/1.1", host = "foo.example.com") {
    await rolled();
    await sleep(1_000);
    const { namespace, selector } = outputs.gateway;
    const cluster = new Cluster({ kubeconfig: lab.kubeconfig });
    const signal = AbortSignal.timeout(20_000);
    const stream = await cluster.open({ namespace, selector, port: apisixPorts.plain }, signal);
    stream.write([line, `Host: ${host}`, "Connection: close", "", ""].join("\r\n"));
    let text = "";
    for await (const part of stream.setEncoding("latin1")) text += String(part);
    const [head = "", ...body] = text.split("\r\n\r\n");
    const location = /^location: (.*)$/im.exec(head)?.[1]?.trim();
    return { status: Number(head.slice(9, 12)), location, text: /certificate: .*/.exec(body.join(""))?.[0] ?? "" };
  }

  /** An nginx with a certificate for `api`, which asks for certificates on port 443 and insists on one on 444. */
  async function startPartner(authority: Authority, image: string): Promise<void> {
    const { cert, key } = await authority.leaf({ dnsNames: [full("api")], usages: ["server auth"] });
    const says =
      'return 200 "certificate: $shown, host: $http_host, forwarded: $http_x_forwarded_client_cert$http_x_real_ip";';
    const server = (port: number, verify: string) =>
      `server { listen ${port} ssl; ssl_verify_client ${verify}; location / { ${says} } }`;
    const nginx = `pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
  access_log off;
  ${tempPaths("/tmp").join(" ")}
  map $ssl_client_s_dn $shown { default $ssl_client_s_dn; "" none; }
  ssl_certificate /files/tls.crt;
  ssl_certificate_key /files/tls.key;
  ssl_client_certificate /files/ours.crt;
  ${server(8443, "optional_no_ca")}
  ${server(8444, "on")}
}
`;
    const metadata = { name: "api", namespace: partner };
    const labels = { app: "partner" };
    await core().createNamespace({ body: { metadata: { name: partner } } });
    const stringData = { "nginx.conf": nginx, "tls.crt": cert, "tls.key": key, "ours.crt": ours.root };
    await core().createNamespacedSecret({ namespace: partner, body: { metadata, stringData } });
    for (const name of ["api", "alias"]) {
      const ports = [443, 444].map((port) => ({ name: `p${port}`, port, targetPort: 8000 + port }));
      const body = { metadata: { name }, spec: { selector: labels, ports } };
      await core().createNamespacedService({ namespace: partner, body });
    }
    const container = {
      ...{ name: "nginx", image, command: ["nginx", "-c", "/files/nginx.conf", "-g", "daemon off;"] },
      volumeMounts: [{ name: "files", mountPath: "/files" }],
      securityContext: { runAsUser: 101, runAsGroup: 101 },
      readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
    };
    const pod = { containers: [container], volumes: [{ name: "files", secret: { secretName: "api" } }] };
    const template = { metadata: { labels }, spec: pod };
    await config()
      .makeApiClient(AppsV1Api)
      .createNamespacedDeployment({
        namespace: partner,
        body: { metadata, spec: { selector: { matchLabels: labels }, template } },
      });
    const deadline = Date.now() + 60_000;
    const ready = async () => {
      const { items } = await core().listNamespacedPod({ namespace: partner });
      return items.some(({ status }) =>
        status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
      );
    };
    while (!(await ready())) {
      if (Date.now() > deadline) throw new Error("the partner's nginx does not become ready");
      await sleep(500);
    }
  }
});
