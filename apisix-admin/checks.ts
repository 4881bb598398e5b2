// What can be said against inputs before anything is asked of a server; parts that a preview does not know yet are passed over.

import { isIPv6 } from "node:net";

import { balancers, type ObjectKind, protocols, schemes, methods } from "./objects.ts";

/** One objection: the property, and a sentence that says what to do. */
export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/** Inputs as the engine hands them over: plain JSON, in which any part may be unknown during a preview. */
export type Props = Readonly<Record<string, unknown>>;

/** Stands for a value that is not known yet (`unknownValue` in the SDK's runtime/rpc). */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether any part of a value is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return value === unknown;
}

/** All objections to an object's inputs. */
export function objections(kind: ObjectKind, inputs: Props): Failure[] {
  const { objectId, owner } = inputs;
  return [
    ...refused(
      objectId,
      (id: string) => /^[a-zA-Z0-9-_.]{1,64}$/.test(id),
      "id",
      (id) =>
        `"${id}" is no id: use letters, digits, "-", "_" and ".", at most 64. Set id when the resource's name is none.`,
    ),
    ...refused(
      owner,
      (label: string) => label.length <= 256,
      "id",
      () => "Project, stack and name together exceed the 256 characters of a label.",
    ),
    ...byKind[kind](inputs),
  ];
}

const byKind: { readonly [kind in ObjectKind]: (inputs: Props) => Failure[] } = {
  upstreams: ({ serverName, nodes, balancer, scheme, timeout, clientCertificate }) => [
    ...missing(serverName, "serverName", "Name the server as its certificate does: it is what the gateway verifies."),
    ...refused(
      serverName,
      (name: string) => name === "" || isName(name),
      "serverName",
      (name) => `"${name}" is no host name: give the name alone, without scheme, port or path.`,
    ),
    ...empty(nodes, "nodes", "An upstream without nodes answers every request with 503: give at least one."),
    ...each(nodes, "nodes", (node, at) => nodeObjections(node as Props, at)),
    ...unlisted(balancer, "balancer", balancers),
    ...unlisted(scheme, "scheme", schemes),
    ...refused(
      timeout,
      (limits: Props) => [limits["connect"], limits["send"], limits["read"]].every(isDuration),
      "timeout",
      () => "Give connect, send and read, each in seconds above 0.",
    ),
    ...refused(
      clientCertificate,
      () => scheme !== "http" && scheme !== "grpc",
      "clientCertificate",
      () => `Without TLS no certificate is shown: use the scheme https.`,
    ),
  ],

  ssls: ({ certificate, use, snis, clients, protocols: versions }) => [
    ...missing(certificate, "certificate", "Name the Secret that holds the certificate."),
    ...unlisted(use, "use", ["server", "client"]),
    ...each(versions, "protocols", (protocol, at) => unlisted(protocol, at, protocols)),
    ...(use === "client"
      ? [...needless(snis, "snis"), ...needless(clients, "clients")]
      : serverObjections(snis, clients)),
  ],

  routes: ({ hosts, uris, methods: verbs, upstream, priority, plugins, description }) => [
    ...empty(
      hosts,
      "hosts",
      "Name the hosts: without them the route could be reached under another host's client policy.",
    ),
    ...each(hosts, "hosts", (host, at) =>
      refused(
        host,
        (name: string) => /^(\*\.)?[0-9a-zA-Z-._]+$/.test(name),
        at,
        (name) => `"${name}" is no host name; a wildcard is "*." and a domain.`,
      ),
    ),
    ...empty(uris, "uris", "Give at least one path."),
    ...each(uris, "uris", (uri, at) =>
      refused(
        uri,
        (path: string) => path.startsWith("/"),
        at,
        (path) => `A path starts with "/", not like "${path}".`,
      ),
    ),
    ...each(verbs, "methods", (method, at) => unlisted(method, at, methods)),
    ...missing(upstream, "upstream", "Pass the id of the upstream that requests go to."),
    ...refused(
      priority,
      Number.isInteger,
      "priority",
      (value) => `A priority is a whole number, not ${String(value)}.`,
    ),
    ...Object.entries(isObject(plugins) ? plugins : {}).flatMap(([name, settings]) =>
      refused(settings, isObject, `plugins.${name}`, () => "A plugin's configuration is an object; {} for none."),
    ),
    ...refused(
      description,
      (text: string) => text.length <= 256,
      "description",
      () => "At most 256 characters.",
    ),
  ],
};

function nodeObjections({ host, port, weight }: Props, at: string): Failure[] {
  return [
    ...missing(host, `${at}.host`, "A node needs a host: its name or address."),
    ...refused(host, isHost, `${at}.host`, (name) =>
      isIPv6(name)
        ? `An IPv6 address is written in brackets: [${name}].`
        : `"${name}" is no host name or address: give it alone, without scheme, port or path.`,
    ),
    ...missing(port, `${at}.port`, "A node needs a port: the one that its server listens on."),
    ...refused(port, isPort, `${at}.port`, (value) => `A port is a number from 1 to 65535, not ${String(value)}.`),
    ...refused(
      weight,
      isCount,
      `${at}.weight`,
      (value) => `A weight is a whole number from 0 up, not ${String(value)}.`,
    ),
  ];
}

function serverObjections(snis: unknown, clients: unknown): Failure[] {
  const { trust, depth } = isObject(clients) ? clients : {};
  return [
    ...empty(snis, "snis", "Name the hosts that this certificate serves."),
    ...missing(
      clients,
      "clients",
      'Say whose client certificates are accepted, by { trust }, or "anyone" to ask for none.',
    ),
    ...refused(
      clients,
      (form) => form === "anyone" || trust !== undefined,
      "clients",
      () => 'Give { trust }, or "anyone".',
    ),
    ...refused(
      depth,
      isCount,
      "clients.depth",
      (value) => `A depth is a whole number from 0 up, not ${String(value)}.`,
    ),
  ];
}

/** An objection to a known value for which the condition does not hold. */
function refused<T>(
  value: unknown,
  holds: (value: T) => boolean,
  property: string,
  reason: (value: T) => string,
): Failure[] {
  if (value === undefined || value === unknown || holds(value as T)) return [];
  return [{ property, reason: reason(value as T) }];
}

function missing(value: unknown, property: string, reason: string): Failure[] {
  return value === undefined || value === "" ? [{ property, reason }] : [];
}

function empty(values: unknown, property: string, reason: string): Failure[] {
  return values === unknown || (Array.isArray(values) && values.length > 0) ? [] : [{ property, reason }];
}

function needless(value: unknown, property: string): Failure[] {
  return value === undefined
    ? []
    : [{ property, reason: 'Only a certificate with use: "server" takes this: drop it.' }];
}

function unlisted(value: unknown, property: string, listed: readonly string[]): Failure[] {
  return refused(
    value,
    (word: string) => listed.includes(word),
    property,
    (word) => `"${word}" is not known: use one of ${listed.join(", ")}.`,
  );
}

function each(values: unknown, property: string, objections: (value: unknown, at: string) => Failure[]): Failure[] {
  if (!Array.isArray(values)) return [];
  return values.flatMap((value, index) => (value === unknown ? [] : objections(value, `${property}[${index}]`)));
}

function isObject(value: unknown): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isHost(host: string): boolean {
  return isName(host) || isIPv6(/^\[(.*)\]$/.exec(host)?.[1] ?? "");
}

function isName(name: string): boolean {
  return /^[0-9a-zA-Z-._]+$/.test(name);
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function isCount(count: number): boolean {
  return Number.isInteger(count) && count >= 0;
}

function isDuration(seconds: unknown): boolean {
  return seconds === unknown || (typeof seconds === "number" && seconds > 0);
}
