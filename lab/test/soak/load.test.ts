// The soak's load against servers that behave and servers that do not: every failure and every early end must be counted.

import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";

import { Authority } from "../../../test/support/authorities.ts";
import { contextOf, type Credentials, type Target } from "../../soak/gatewayClient.ts";
import { KeptAlive } from "../../soak/keptAlive.ts";
import { NewConnections } from "../../soak/newConnections.ts";
import { Observer } from "../../soak/observer.ts";
import { Probes, type Sighting } from "../../soak/probes.ts";
import { OldTrust } from "../../soak/withdrawn.ts";

const bound = { age: 60, idle: 60 };

describe("the soak's load", () => {
  let server: https.Server;
  let target: Target;
  let client: Credentials;
  let roots: { edge: Authority; other: Authority };
  let answer: (socket: TLSSocket) => number;
  const sockets = new Set<TLSSocket>();

  beforeEach(async () => {
    roots = { edge: await Authority.create("edge"), other: await Authority.create("other") };
    const leaf = await roots.edge.leaf({ dnsNames: ["upstream"], usages: ["server auth"] });
    client = { ca: roots.edge.root, ...(await roots.edge.leaf({ subject: "CN=curl" })) };
    answer = () => 200;
    server = https.createServer(
      { ...leaf, ca: roots.edge.root, requestCert: true, rejectUnauthorized: true },
      (request, response) => response.writeHead(answer(request.socket as TLSSocket)).end("{}"),
    );
    server.on("secureConnection", (socket) => sockets.add(socket));
    server.on("tlsClientError", () => {}); // from clients that are refused
    await once(server.listen(0, "127.0.0.1"), "listening");
    target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port, serverName: "upstream" };
  });
  afterEach(() => {
    sockets.clear();
    server.close().closeAllConnections();
  });

  it("starts new connections at its rate, whatever becomes of them", async () => {
    let requests = 0;
    answer = () => (++requests % 4 === 0 ? 502 : 200);
    const arrivals = new NewConnections(target, 50, contextOf(client));
    await sleep(1000);
    await arrivals.stop();
    const { done, failed, reasons, seconds, perSecond } = arrivals.numbers;
    assert.equal(done + failed, sockets.size, "one new connection per request");
    assert.deepEqual(reasons, { "answer 502": Math.floor(requests / 4) });
    assert.equal(Math.round(perSecond * seconds), requests);
    assert.ok(Math.abs(perSecond - 50) < 5, `${perSecond}`);
  });

  it("says why a handshake fails", async () => {
    const stranger = { ca: client.ca, ...(await roots.other.leaf({ subject: "CN=curl" })) };
    const arrivals = new NewConnections(target, 50, contextOf(stranger));
    await sleep(300);
    arrivals.context = contextOf({ ...client, ca: roots.other.root });
    await sleep(300);
    await arrivals.stop();
    const { done, failed, reasons } = arrivals.numbers;
    assert.equal(done, 0);
    assert.ok(failed > 10 && (reasons["client refuses the server"] ?? 0) > 5, JSON.stringify(reasons));
  });

  it("reuses its kept connections, and counts one that is closed too early", async () => {
    const kept = new KeptAlive(target, bound, contextOf(client));
    await kept.use(5);
    await kept.use(5);
    const { done, failed, opened } = kept.numbers;
    assert.deepEqual(
      { done, failed, opened, connections: sockets.size },
      { done: 10, failed: 0, opened: 5, connections: 5 },
    );

    const [one, other, ...rest] = sockets;
    one?.destroy();
    await sleep(200);
    kept.leaving = true;
    other?.destroy();
    await sleep(200);
    kept.leaving = false;
    await kept.use(5);
    assert.deepEqual(kept.numbers.ends, { bound: 0, left: 1, early: 1 });
    assert.deepEqual(kept.numbers.reasons, { "closed before the bound, while idle, 0 s old": 1 });
    assert.deepEqual([kept.numbers.done, kept.numbers.opened, rest.length], [15, 7, 3]);
    kept.close();
  });

  it("recognises a connection's end by its bound", async () => {
    const kept = new KeptAlive(target, { age: 2, idle: 2 }, contextOf(client));
    await kept.use(2);
    await sleep(100);
    for (const socket of sockets) socket.destroy(); // idle for long enough, given the slack
    await sleep(200);
    await kept.use(2);
    assert.deepEqual(kept.numbers.ends, { bound: 2, left: 0, early: 0 });
    assert.equal(kept.numbers.failed, 0);
    kept.close();
  });

  it("sees what becomes of connections, sessions and certificates when their root is withdrawn", async () => {
    const old = new OldTrust(target, client);
    await old.open(3);
    assert.deepEqual([old.state.open, old.state.lastAnswer > Date.now() - 5000], [3, true]);
    const before = await old.tryAgain(client.ca);
    assert.deepEqual([...new Set(Object.values(before))], ["answer 200"]);

    const leaf = await roots.edge.leaf({ dnsNames: ["upstream"], usages: ["server auth"] });
    server.setSecureContext({ ...leaf, ca: roots.other.root });
    for (const socket of sockets) socket.destroy();
    const after = await old.tryAgain(client.ca);
    assert.ok(
      Object.values(after).every((said) => said !== "answer 200"),
      JSON.stringify(after),
    );
    for (const end = Date.now() + 15_000; old.state.open > 0; await sleep(100)) assert.ok(Date.now() < end);
    old.close();
  });

  it("sees each leaf that a server serves or a caller presents", async () => {
    const seen: Sighting[] = [];
    const probes = new Probes((sighting) => seen.push(sighting));
    const observer = await Observer.start(
      "127.0.0.1",
      await roots.edge.leaf({ dnsNames: ["upstream"], usages: ["server auth"] }),
    );
    const until = async (count: number) => {
      for (const end = Date.now() + 15_000; seen.length < count; await sleep(50)) assert.ok(Date.now() < end);
    };
    probes.watch([{ name: "gateway", ...target }]);
    await until(1);
    const leaf = await roots.edge.leaf({ dnsNames: ["upstream"], usages: ["server auth"] });
    server.setSecureContext({ ...leaf, ca: roots.edge.root });
    await until(2);
    probes.watch([]);
    assert.deepEqual(
      seen.map(({ listener }) => listener),
      ["gateway", "gateway"],
    );
    assert.notEqual(seen[0]?.serial, seen[1]?.serial);
    assert.ok(observer.port > 0);
    observer.close();
  });
});
