// Finds private keys in any JSON value: in PEM, DER, JWK and key stores, below any nesting of JSON, base64, hex and compression.

import { createPrivateKey } from "node:crypto";
import { gunzipSync, inflateSync } from "node:zlib";

/** Where a key is, never what it is. */
export interface Finding {
  /** The nearest enclosing `urn`; empty outside of resources. */
  readonly urn: string;
  /** Property path, then how the text below it is encoded. */
  readonly path: string;
  readonly form: string;
}

/** Layers of encoding that are peeled off; each makes the text shorter, so this is far beyond what can occur. */
const deepest = 20;
/** Decoded data that grows beyond this is not inspected further: it is a compression bomb. */
const largest = 256 << 20;

/** Every private key in the value, each once per place. A bare scalar without any structure is indistinguishable from random data. */
export function findPrivateKeys(value: unknown): Finding[] {
  const found = new Map<string, Finding>();
  walk(value, { urn: "", path: [], encoding: [] }, (place, form) => {
    const path = [place.path.join("."), ...place.encoding].join(" > ");
    found.set(`${place.urn} ${path} ${form}`, { urn: place.urn, path, form });
  });
  return [...found.values()];
}

interface Place {
  readonly urn: string;
  readonly path: readonly string[];
  readonly encoding: readonly string[];
}
type Report = (place: Place, form: string) => void;

function walk(value: unknown, place: Place, report: Report): void {
  if (typeof value === "string") return inText(value, place, report);
  if (typeof value !== "object" || value === null) return;
  const object = value as Record<string, unknown>;
  if (typeof object["kty"] === "string" && typeof object["d"] === "string") report(place, "JWK");
  // A Node Buffer in JSON.
  if (object["type"] === "Buffer" && Array.isArray(object["data"])) {
    inBytes(Buffer.from(object["data"] as number[]), { ...place, encoding: [...place.encoding, "bytes"] }, report);
  }
  const urn = typeof object["urn"] === "string" ? object["urn"] : place.urn;
  const base = urn === place.urn ? place.path : [];
  for (const [key, inner] of Object.entries(object)) {
    // A key of a map is text too.
    if (!Array.isArray(value)) inText(key, { urn, path: [...base, "(key)"], encoding: place.encoding }, report);
    walk(inner, { urn, path: [...base, key], encoding: place.encoding }, report);
  }
}

const pem = /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----(?:\\[nr]|\s)*(?:[A-Za-z0-9+/=]{16}|Proc-Type)/g;
const pemBlock = /-----BEGIN [^-\n]*-----([A-Za-z0-9+/=\s]+)-----END [^-\n]*-----/g;
const base64Run = /[A-Za-z0-9+/_-]{24,}={0,2}/g;
const hexRun = /(?:[0-9a-fA-F]{2}:?){24,}/g;

function inText(text: string, place: Place, report: Report): void {
  if (place.encoding.length > deepest) return;
  const as = (encoding: string): Place => ({ ...place, encoding: [...place.encoding, encoding] });
  for (const [, label] of text.matchAll(pem)) report(place, `PEM ${label}`);
  if (text.includes("PuTTY-User-Key-File-")) report(place, "PuTTY key");

  const trimmed = text.trim();
  if (/^[[{"]/.test(trimmed)) {
    const parsed = parsedJson(trimmed);
    if (parsed !== undefined && parsed !== text) walk(parsed, as("JSON"), report);
  }
  // Keys under another label, and without one; wrapped into lines, and whole.
  for (const [, body = ""] of text.matchAll(pemBlock)) inBytes(Buffer.from(body, "base64"), as("PEM"), report);
  const dense = trimmed.replace(/\s+/g, "");
  const runs = new Set([...text.matchAll(base64Run)].map(([run]) => run));
  if (/^[A-Za-z0-9+/_-]{24,}={0,2}$/.test(dense)) runs.add(dense);
  for (const run of runs) inBytes(Buffer.from(run, "base64"), as("base64"), report);
  const hexes = new Set([...text.matchAll(hexRun)].map(([run]) => run));
  if (/^(?:[0-9a-fA-F]{2}:?){24,}$/.test(dense)) hexes.add(dense);
  for (const run of hexes) inBytes(Buffer.from(run.replaceAll(":", ""), "hex"), as("hex"), report);
}

function inBytes(bytes: Buffer, place: Place, report: Report): void {
  if (place.encoding.length > deepest) return;
  const as = (encoding: string): Place => ({ ...place, encoding: [...place.encoding, encoding] });
  for (const form of derKeys(bytes)) report(place, form);
  const unpacked = decompressed(bytes);
  if (unpacked) return inBytes(unpacked, as("compressed"), report);
  const text = bytes.toString("utf8");
  // Text, not bytes that happen to decode as some.
  if (!text.includes("\uFFFD") && !/[\0-\x08\x0e-\x1f]/.test(text)) inText(text, place, report);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function decompressed(bytes: Buffer): Buffer | undefined {
  try {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes, { maxOutputLength: largest });
    if (bytes[0] === 0x78 && bytes.readUInt16BE(0) % 31 === 0) return inflateSync(bytes, { maxOutputLength: largest });
  } catch {
    // Not compressed after all.
  }
  return undefined;
}

const encryptedPkcs8 = [Buffer.from("06092a864886f70d01050d", "hex"), Buffer.from("060a2a864886f70d010c01", "hex")];
const pkcs7Data = Buffer.from("06092a864886f70d010701", "hex");

/** The forms of the DER keys anywhere in the bytes, or of a key store that they start with. */
function derKeys(bytes: Buffer): string[] {
  const forms: string[] = [];
  if (bytes.length > 4 && [0xfeedfeed, 0xcececece].includes(bytes.readUInt32BE(0))) forms.push("Java key store");
  for (
    let start = bytes.indexOf(0x30);
    start !== -1 && start < bytes.length - 24;
    start = bytes.indexOf(0x30, start + 1)
  ) {
    const { content, end } = sequenceAt(bytes, start);
    if (content === undefined) continue;
    const der = bytes.subarray(start, end);
    const head = bytes.subarray(content, content + 5);
    const version = head[0] === 0x02 && head[1] === 0x01;
    const next = head[3];
    if (version && [0x30, 0x02, 0x04].includes(next ?? 0)) {
      const type = next === 0x30 ? "pkcs8" : next === 0x02 ? "pkcs1" : "sec1";
      if (isKey(der, type)) forms.push(`DER ${type}`);
      else if (head[2] === 3 && next === 0x30 && der.subarray(0, 40).includes(pkcs7Data)) forms.push("PKCS#12");
    } else if (head[0] === 0x30 && encryptedPkcs8.some((oid) => der.subarray(0, 24).includes(oid))) {
      forms.push("DER encrypted pkcs8");
    }
  }
  return forms;
}

/** Where the SEQUENCE at `start` has its content and its end, when it fits into the bytes. */
function sequenceAt(bytes: Buffer, start: number): { content?: number; end?: number } {
  const first = bytes[start + 1] ?? 0;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 3 || first === 0x80) return {};
  const content = start + 2 + lengthBytes;
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(start + 2, lengthBytes);
  const end = content + length;
  return length > 8 && end <= bytes.length ? { content, end } : {};
}

function isKey(key: Buffer, type: "pkcs8" | "pkcs1" | "sec1"): boolean {
  try {
    createPrivateKey({ key, format: "der", type });
    return true;
  } catch {
    return false;
  }
}
