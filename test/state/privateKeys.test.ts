// The search for private keys in a state finds planted ones in every encoding, and none where there are none.

import { deepStrictEqual as same, doesNotMatch, match, ok, strictEqual as equal } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";

import { Authority } from "../support/authorities.ts";
import { findPrivateKeys } from "../../policy/keySearch.ts";

const { privateKey: ec, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { privateKey: rsa } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const { privateKey: ed } = generateKeyPairSync("ed25519");

const der = (key: KeyObject, type: "pkcs8" | "pkcs1" | "sec1") =>
  key.export({ format: "der", type } as { format: "der"; type: "pkcs8" });
const pem = (key: KeyObject, type: "pkcs8" | "pkcs1" | "sec1") =>
  key.export({ format: "pem", type } as { format: "pem"; type: "pkcs8" }).toString();
const locked = { cipher: "aes-256-cbc", passphrase: "x" };

/** The formats in which keys are written. */
const forms: Readonly<Record<string, { readonly bytes: Buffer; readonly form: string }>> = {
  "a PKCS#8 PEM": { bytes: Buffer.from(pem(ec, "pkcs8")), form: "PEM PRIVATE KEY" },
  "a PKCS#1 PEM": { bytes: Buffer.from(pem(rsa, "pkcs1")), form: "PEM RSA PRIVATE KEY" },
  "a SEC1 PEM": { bytes: Buffer.from(pem(ec, "sec1")), form: "PEM EC PRIVATE KEY" },
  "an encrypted PEM": {
    bytes: Buffer.from(rsa.export({ format: "pem", type: "pkcs8", ...locked })),
    form: "PEM ENCRYPTED PRIVATE KEY",
  },
  "a PKCS#8 DER": { bytes: der(ec, "pkcs8"), form: "DER pkcs8" },
  "an Ed25519 DER": { bytes: der(ed, "pkcs8"), form: "DER pkcs8" },
  "a PKCS#1 DER": { bytes: der(rsa, "pkcs1"), form: "DER pkcs1" },
  "a SEC1 DER": { bytes: der(ec, "sec1"), form: "DER sec1" },
  "an encrypted DER": {
    bytes: ec.export({ format: "der", type: "pkcs8", ...locked }),
    form: "DER encrypted pkcs8",
  },
  "a JWK": { bytes: Buffer.from(JSON.stringify(ec.export({ format: "jwk" }))), form: "JWK" },
};

/** The ways in which bytes become text. */
const encodings: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  base64: (bytes) => bytes.toString("base64"),
  base64url: (bytes) => bytes.toString("base64url"),
  "base64 in lines": (bytes) => bytes.toString("base64").replace(/.{60}/g, "$&\n"),
  "base64 in a sentence": (bytes) => `the key is ${bytes.toString("base64")}, keep it safe`,
  "base64 twice": (bytes) => Buffer.from(bytes.toString("base64")).toString("base64"),
  hex: (bytes) => bytes.toString("hex"),
  "hex with colons": (bytes) => bytes.toString("hex").replace(/..(?=.)/g, "$&:"),
  "gzip and base64": (bytes) => gzipSync(bytes).toString("base64"),
  "deflate and base64": (bytes) => deflateSync(bytes).toString("base64"),
  "base64 in JSON in a string": (bytes) => JSON.stringify({ a: [{ b: bytes.toString("base64") }] }),
  "JSON in gzip in base64 twice, as Helm stores releases": (bytes) =>
    Buffer.from(gzipSync(JSON.stringify({ manifest: bytes.toString("base64") })).toString("base64")).toString("base64"),
  "a Buffer in JSON": (bytes) => bytes.toJSON(),
  "a secret of the engine's": (bytes) => ({
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    plaintext: JSON.stringify(bytes.toString("base64")),
  }),
  "the key of a map": (bytes) => ({ [bytes.toString("base64")]: true }),
};

const resource = (outputs: unknown, name = "a") => ({ urn: `urn:pulumi:dev::p::t::${name}`, outputs });
const state = (...resources: unknown[]) => ({ version: 3, deployment: { resources } });

describe("the search for private keys", () => {
  for (const [title, { bytes, form }] of Object.entries(forms)) {
    for (const [encoding, encode] of Object.entries(encodings)) {
      it(`finds ${title} in ${encoding}`, () => {
        const found = findPrivateKeys(state(resource({ deep: [{ value: encode(bytes) }] })));
        ok(found.length > 0);
        same([...new Set(found.map((finding) => finding.urn))], ["urn:pulumi:dev::p::t::a"]);
        ok(
          found.some((finding) => finding.form === form),
          JSON.stringify(found),
        );
        ok(
          found.every(({ path }) => path.startsWith("outputs.deep.0.value")),
          JSON.stringify(found),
        );
      });
    }
  }

  it("finds a PEM as such, in JSON, within other text, and under a false label", () => {
    const text = pem(ec, "pkcs8");
    const found = (value: unknown) => findPrivateKeys(state(resource({ value }))).map(({ form }) => form);
    same(found(text), ["PEM PRIVATE KEY", "DER pkcs8"]);
    same(found(`ca: |\n  ${text.replaceAll("\n", "\n  ")}`), ["PEM PRIVATE KEY", "DER pkcs8"]);
    ok(found(JSON.stringify({ text })).includes("PEM PRIVATE KEY"));
    // An export without its line breaks, or its end.
    ok(found(text.replaceAll("\n", "\\n")).includes("PEM PRIVATE KEY"));
    ok(found(text.slice(0, 80)).includes("PEM PRIVATE KEY"));
    same(found(text.replaceAll("PRIVATE KEY", "CERTIFICATE")), ["DER pkcs8"]);
  });

  it("finds a key within other bytes", () => {
    const bytes = Buffer.concat([randomBytes(33), der(rsa, "pkcs1"), randomBytes(33)]);
    const [first] = findPrivateKeys(bytes.toString("base64"));
    same(first, { urn: "", path: " > base64", form: "DER pkcs1" });
  });

  it("says in which resource and property a key is, without showing it", () => {
    const key = pem(ec, "sec1");
    const found = findPrivateKeys(
      state(resource({}), resource({ data: { "tls.key": Buffer.from(key).toString("base64") } }, "b")),
    );
    const place = { urn: "urn:pulumi:dev::p::t::b", path: "outputs.data.tls.key > base64" };
    same(found, [
      { ...place, form: "PEM EC PRIVATE KEY" },
      { ...place, path: `${place.path} > PEM`, form: "DER sec1" },
    ]);
  });

  it("finds none in certificates, public keys, digests, passwords, and text about keys", async () => {
    const authority = await Authority.create("edge");
    const { cert } = await authority.leaf({ usages: ["client auth"] });
    const digests = Array.from({ length: 500 }, (_, index) => createHash("sha256").update(`${index}`).digest());
    const harmless = {
      cert,
      chain: Buffer.from(cert + authority.root).toString("base64"),
      public: publicKey.export({ format: "pem", type: "spki" }),
      publicDer: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
      publicJwk: publicKey.export({ format: "jwk" }),
      digests: digests.map((digest) => digest.toString("hex")),
      passwords: digests.map((digest) => digest.toString("base64url")),
      program:
        "if (text.includes('-----BEGIN PRIVATE KEY-----')) throw new Error('-----BEGIN RSA PRIVATE KEY----- found')",
      noise: randomBytes(100_000).toString("base64"),
      release: gzipSync(JSON.stringify({ manifest: cert })).toString("base64"),
      versions: ["30820103020100", "true", "", "{", "[1,2"],
    };
    same(findPrivateKeys(state(resource(harmless))), []);
  });
});

describe("the command that searches a state", () => {
  const key = pem(ec, "pkcs8");
  const held = state(resource({ text: "harmless" }, "a"), resource({ privateKeyPem: key }, "root-key"));

  function run(input: unknown, ...args: string[]) {
    const text = typeof input === "string" ? input : JSON.stringify(input);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "privateKeys.ts"), ...args],
      {
        input: text,
        encoding: "utf8",
      },
    );
    return { status, stdout, stderr };
  }

  it("fails and says where if there is one, and never prints it", () => {
    const { status, stdout, stderr } = run(held, "-");
    equal(status, 1);
    same(stdout.split("\n"), [
      "PRIVATE KEY  urn:pulumi:dev::p::t::root-key  outputs.privateKeyPem  (PEM PRIVATE KEY)",
      "PRIVATE KEY  urn:pulumi:dev::p::t::root-key  outputs.privateKeyPem > PEM  (DER pkcs8)",
      "2 resources, 0 declared and 2 undeclared private keys",
      "",
    ]);
    const secret = createPrivateKey(key).export({ format: "jwk" }).d as string;
    for (const line of key.split("\n").slice(1, -2)) ok(!(stdout + stderr).includes(line));
    ok(!(stdout + stderr).includes(secret));
  });

  it("accepts declared keys", () => {
    const { status, stdout } = run(held, "-", "--allow", "::other", "--allow", "::root-key");
    equal(status, 0);
    match(stdout, /^declared {2}urn:pulumi:dev::p::t::root-key {2}outputs.privateKeyPem {2}\(PEM PRIVATE KEY\)$/m);
    match(stdout, /^2 resources, 2 declared and 0 undeclared private keys$/m);
    equal(run(held, "-", "--allow", "::other").status, 1);
  });

  it("passes a state without any, even from a file", () => {
    const folder = mkdtempSync(join(tmpdir(), "state-"));
    try {
      writeFileSync(join(folder, "state.json"), JSON.stringify(state(resource({}))));
      const { status, stdout } = run("", join(folder, "state.json"));
      same({ status, stdout }, { status: 0, stdout: "1 resources, 0 declared and 0 undeclared private keys\n" });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("refuses what it cannot search: encrypted secrets, other JSON, other text", () => {
    const refused = (input: unknown) => {
      const { status, stdout, stderr } = run(input, "-");
      same({ status, stdout }, { status: 2, stdout: "" });
      return stderr;
    };
    const secret = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", ciphertext: "v1:abc" };
    match(refused(state(resource({ secret }))), /^The state's secrets are encrypted: export it with/);
    match(refused({}), /^This is not a state with resources/);
    const { stderr } = { stderr: refused(key) };
    match(stderr, /^This is not JSON/);
    doesNotMatch(stderr, /BEGIN/);
  });
});
