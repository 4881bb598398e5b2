// What can be said against inputs before anything is asked of a server; parts that a preview does not know yet are passed over.

import { balancers, type ObjectKind, protocols, schemes, methods } from "./objects.ts";

/** One objection: the property, and a sentence that says what to do. */
export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/** Inputs as the engine hands them over: plain JSON, in which any part may be unknown during a preview. */
export type Props = Readonly<Record<string, any>>;

/** Stands for a value that is not known yet (`unknownValue` in the SDK's runtime/rpc). */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether any part of a value is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return value === unknown;
}

/** All objections to an object's inputs. */
export function objections(kind: ObjectKind, inputs: Props): Failure[] {
  return [
    ...unless(
      inputs["objectId"],
      (id) => /^[a-zA-Z0-9-_.]{1,64}$/.test(id),
      "id",
      (id) =>
        `"${id}" is no id: use letters, digits, "-", "_" and ".", at most 64. Set id when the resource's name is none.`,
    ),
    ...unless(
      inputs["owner"],
      (owner) => owner.length <= 256,
      "id",
      () => "Project, stack and name together exceed the 256 characters of a label.",
    ),
    ...byKind[kind](inputs),
  ];
}

const byKind: { readonly [kind in ObjectKind]: (inputs: Props) => Failure[] } = {
  upstreams: (inputs) => [
    ...required(inputs, "serverName", "Name the server as its certificate does: it is what the gateway verifies."),
    ...unless(inputs["serverName"], isHost, "serverName", (name) => `"${name}" is no host name.`),
    ...someOf(inputs, "nodes", "An upstream without nodes answers every request with 503: give at least one."),
    ...each(inputs["nodes"], "nodes", (node, at) => [
      ...(node.host === undefined ? [{ property: `${at}.host`, reason: "A node needs a host." }] : []),
      ...unless(node.host, isHost, `${at}.host`, (host) => `"${host}" is no host name or address.`),
      ...(isPort(node.port)
        ? []
        : [{ property: `${at}.port`, reason: `A node needs a port from 1 to 65535, not ${node.port}.` }]),
      ...unless(
        node.weight,
        isCount,
        `${at}.weight`,
        (weight) => `A weight is a whole number from 0 up, not ${weight}.`,
      ),
    ]),
    ...oneOf(inputs, "balancer", balancers),
    ...oneOf(inputs, "scheme", schemes),
    ...unless(
      inputs["timeout"],
      (limits) => ["connect", "send", "read"].every((limit) => limits[limit] === unknown || limits[limit] > 0),
      "timeout",
      () => "Give connect, send and read, each in seconds above 0.",
    ),
    ...unless(
      inputs["clientCertificate"],
      () => !["http", "grpc"].includes(inputs["scheme"]),
      "clientCertificate",
      () => `Over ${inputs["scheme"]} no certificate is shown: use https or grpcs.`,
    ),
  ],
  ssls: (inputs) => [
    ...required(inputs, "certificate", "Name the Secret that holds the certificate."),
    ...oneOf(inputs, "use", ["server", "client"]),
    ...each(inputs["protocols"], "protocols", (protocol, at) => oneOf({ [at]: protocol }, at, protocols)),
    ...(inputs["use"] === "client" ? clientOnly(inputs) : serverOnly(inputs)),
  ],
  routes: (inputs) => [
    ...someOf(
      inputs,
      "hosts",
      "Name the hosts: without them the route could be reached under another host's client policy.",
    ),
    ...each(inputs["hosts"], "hosts", (host, at) =>
      unless(
        host,
        (name) => /^(\*\.)?[0-9a-zA-Z-._]+$/.test(name),
        at,
        (name) => `"${name}" is no host name; a wildcard is "*." and a domain.`,
      ),
    ),
    ...someOf(inputs, "uris", "Give at least one path."),
    ...each(inputs["uris"], "uris", (uri, at) =>
      unless(
        uri,
        (path) => path.startsWith("/"),
        at,
        (path) => `A path starts with "/", not like "${path}".`,
      ),
    ),
    ...each(inputs["methods"], "methods", (method, at) => oneOf({ [at]: method }, at, methods)),
    ...required(inputs, "upstream", "Pass the id of the upstream that requests go to."),
    ...unless(
      inputs["priority"],
      Number.isInteger,
      "priority",
      (priority) => `A priority is a whole number, not ${priority}.`,
    ),
    ...unless(
      inputs["description"],
      (text) => text.length <= 256,
      "description",
      () => "At most 256 characters.",
    ),
  ],
};

function serverOnly(inputs: Props): Failure[] {
  return [
    ...someOf(inputs, "snis", "Name the hosts that this certificate serves."),
    ...required(
      inputs,
      "clients",
      'Say whose client certificates are accepted, by trust, or "anyone" to ask for none.',
    ),
    ...unless(
      inputs["clients"],
      (clients) => clients === "anyone" || clients.trust !== undefined,
      "clients",
      () => 'Give { trust }, or "anyone".',
    ),
    ...unless(
      inputs["clients"]?.depth,
      isCount,
      "clients.depth",
      (depth) => `A depth is a whole number from 0 up, not ${depth}.`,
    ),
  ];
}

function clientOnly(inputs: Props): Failure[] {
  return ["snis", "clients"]
    .filter((property) => inputs[property] !== undefined)
    .map((property) => ({ property, reason: 'Only a certificate for servers takes this: drop it, or use: "server".' }));
}

function unless(
  value: any,
  holds: (value: any) => boolean,
  property: string,
  reason: (value: any) => string,
): Failure[] {
  return value === undefined || value === unknown || holds(value) ? [] : [{ property, reason: reason(value) }];
}

function required(inputs: Props, property: string, reason: string): Failure[] {
  return inputs[property] === undefined || inputs[property] === "" ? [{ property, reason }] : [];
}

function someOf(inputs: Props, property: string, reason: string): Failure[] {
  const value: unknown = inputs[property];
  return value === unknown || (Array.isArray(value) && value.length > 0) ? [] : [{ property, reason }];
}

function each(values: unknown, property: string, check: (value: any, at: string) => Failure[]): Failure[] {
  if (!Array.isArray(values)) return [];
  return values.flatMap((value, index) => (value === unknown ? [] : check(value, `${property}[${index}]`)));
}

function oneOf(inputs: Props, property: string, allowed: readonly string[]): Failure[] {
  return unless(
    inputs[property],
    (value) => allowed.includes(value),
    property,
    (value) => `"${value}" is none of ${allowed.join(", ")}.`,
  );
}

function isHost(host: string): boolean {
  return /^[0-9a-zA-Z-._[\]:]+$/.test(host);
}

function isPort(port: unknown): boolean {
  return port === unknown || (Number.isInteger(port) && (port as number) >= 1 && (port as number) <= 65_535);
}

function isCount(count: unknown): boolean {
  return count === unknown || (Number.isInteger(count) && (count as number) >= 0);
}
