// The stack's outputs from outside the program: fetched with the Pulumi CLI or read from a file, and checked before use.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";

import type { PlatformOutputs } from "../outputs.ts";

/** Where the outputs come from; the stack that is selected unless told otherwise. */
export interface OutputsSource {
  readonly stack?: string | undefined;
  /** A file with the answer of `pulumi stack output --json`; `-` is the standard input. */
  readonly file?: string | undefined;
}

export async function readOutputs(source: OutputsSource, project: string): Promise<PlatformOutputs> {
  const json = source.file === undefined ? await fromPulumi(source.stack, project) : await fromFile(source.file);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(`The stack outputs are not JSON: ${(error as Error).message}`);
  }
  return parseOutputs(value, source.stack);
}

/** The value as the stack's outputs, or an error that names all that is missing. */
export function parseOutputs(value: unknown, stack?: string): PlatformOutputs {
  const problems = problemsOf(value, shape, "");
  if (problems.length === 0) return value as PlatformOutputs;
  const up = `pulumi up${stack ? ` -s ${stack}` : ""}`;
  throw new Error(`${problems.map((problem) => `stack output ${problem}`).join("\n")}\nRun \`${up}\` first.`);
}

/** The form of a value, as data. */
type Shape<T> = T extends string
  ? "string"
  : T extends number
    ? "number"
    : T extends readonly (infer Item)[]
      ? readonly [Shape<Item>]
      : { readonly [K in keyof T]: Shape<T[K]> };
type AnyShape = "string" | "number" | readonly [AnyShape] | { readonly [key: string]: AnyShape };

const object = { namespace: "string", name: "string" } as const;
const entry = { ...object, key: "string" } as const;
const pods = { namespace: "string", selector: "string", port: "number", serverName: "string" } as const;
const trust = { ...entry, plane: "string" } as const;
const issuer = { plane: "string", kind: "string", name: "string", group: "string" } as const;

function perPlane<const S>(one: S) {
  return { etcd: one, "etcd-peer": one, admin: one, edge: one, upstream: one };
}

const shape: Shape<PlatformOutputs> = {
  trustDomain: "string",
  namespace: "string",
  gateway: { ...pods, url: "string", service: { ...object, port: "number" }, trust },
  admin: { ...pods, cluster: "string", trust: entry, certificate: object, key: entry },
  store: {
    ...pods,
    cluster: "string",
    trust: entry,
    certificate: object,
    endpoints: ["string"],
    peer: pods,
    user: "string",
    password: entry,
    prefix: "string",
  },
  upstream: {
    node: { host: "string", port: "number" },
    serverName: "string",
    trust,
    clientCertificate: { ...object, plane: "string" },
    pods,
  },
  issuers: perPlane(issuer),
  trust: perPlane(trust),
  roots: perPlane("string"),
  routes: [{ id: "string", hosts: ["string"], uris: ["string"] }],
};

function problemsOf(value: unknown, wanted: AnyShape, path: string): string[] {
  if (value === undefined || value === null) return [`"${path}" is missing`];
  if (typeof wanted === "string") {
    return typeof value === wanted ? [] : [`"${path}" must be a ${wanted}, but is ${JSON.stringify(value)}`];
  }
  if (isList(wanted)) {
    if (!Array.isArray(value)) return [`"${path}" must be a list, but is ${JSON.stringify(value)}`];
    return value.flatMap((item, i) => problemsOf(item, wanted[0], `${path}[${i}]`));
  }
  if (typeof value !== "object") return [`"${path}" must be an object, but is ${JSON.stringify(value)}`];
  return Object.entries(wanted).flatMap(([key, inner]) =>
    problemsOf((value as Record<string, unknown>)[key], inner, path ? `${path}.${key}` : key),
  );
}

function isList(wanted: AnyShape): wanted is readonly [AnyShape] {
  return Array.isArray(wanted);
}

async function fromFile(file: string): Promise<string> {
  return file === "-" ? text(process.stdin) : readFile(file, "utf8");
}

async function fromPulumi(stack: string | undefined, project: string): Promise<string> {
  const args = ["stack", "output", "--json", ...(stack ? ["-s", stack] : [])];
  try {
    return (await promisify(execFile)("pulumi", args, { cwd: project, maxBuffer: 1 << 26 })).stdout;
  } catch (error) {
    const { code, stderr, message } = error as { code?: string | number; stderr?: string; message: string };
    if (code === "ENOENT") {
      throw new Error("pulumi is not on PATH: put it there, or give the outputs with --outputs FILE.");
    }
    throw new Error(`pulumi ${args.join(" ")} failed: ${stderr?.trim() || message}`);
  }
}
