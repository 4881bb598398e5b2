// The life cycle of each dynamic resource, free of Pulumi: what the provider's methods call.

import type { Access } from "./session.ts";
import type { ClusterSelection } from "./access.ts";

/** The dynamic resources' kinds. */
export type Kind = "upstreams" | "ssls" | "routes" | "etcdAuth" | "rootCertificates";

type Props = any;
type At = ClusterSelection | Access;

export async function check(_kind: Kind, inputs: Props, _at: At) { return { inputs }; }
export async function diff(_kind: Kind, _id: string, _olds: Props, _news: Props, _at: At) { return { changes: false }; }
export async function create(_kind: Kind, _inputs: Props, _at: At): Promise<{ id: string; outs: Props }> { throw new Error("not implemented"); }
export async function read(_kind: Kind, id: string, props: Props, _at: At) { return { id, props }; }
export async function update(_kind: Kind, _id: string, _olds: Props, _news: Props, _at: At): Promise<{ outs: Props }> { throw new Error("not implemented"); }
export async function remove(_kind: Kind, _id: string, _props: Props, _at: At): Promise<void> { throw new Error("not implemented"); }
