// A plane's roots held in Pulumi's state, encrypted and protected, with an intermediate of the active one in the cluster.

import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";

import { hours } from "../config.ts";
import { privateKey } from "./certificate.ts";
import type { CertificateAuthorityArgs, IssuerPlace, SigningPair } from "./certificateAuthority.ts";
import type { Plane } from "./planes.ts";

/** Where a plane's root comes from: roots that outlive the cluster, and can be exchanged with an overlap. */
export interface StateHeldRootsSource {
  readonly kind: "stateHeld";
  /** Name of the root that signs: its intermediate issues the leaves. */
  readonly active: string;
  /** Names of the roots in the trust bundle, `active` among them. */
  readonly trusted: readonly string[];
  /** Refuse to delete a root's key until it is unprotected. */
  readonly protect: boolean;
  /** Lifetime of the intermediate; `pulumi up` renews it in the last third. */
  readonly intermediateDuration: string;
}

/** The trusted roots, and the active one's intermediate as a Secret that cert-manager signs with. */
export function createStateHeldRoots(
  name: string,
  args: CertificateAuthorityArgs<Plane>,
  source: StateHeldRootsSource,
  place: IssuerPlace,
  child: { readonly parent: pulumi.Resource },
): SigningPair {
  const subject = (use: string) => ({ commonName: `${args.plane} ${use}`, organization: args.trustDomain });
  const authorityUses = ["cert_signing", "crl_signing", "digital_signature"];
  const held = { ...child, protect: source.protect };

  const roots = source.trusted.map((root) => {
    const key = new tls.PrivateKey(`${name}-root-${root}-key`, keyArgs(args), held);
    const certificate = new tls.SelfSignedCert(
      `${name}-root-${root}`,
      {
        privateKeyPem: key.privateKeyPem,
        subject: subject(`root ${root}`),
        isCaCertificate: true,
        setSubjectKeyId: true,
        validityPeriodHours: hours(args.rootDuration),
        allowedUses: authorityUses,
      },
      held,
    );
    return { root, key, certificate };
  });
  const active = roots.find(({ root }) => root === source.active);
  if (!active) throw new pulumi.ResourceError(`The active root "${source.active}" is not among trusted.`, child.parent);

  const key = new tls.PrivateKey(`${name}-intermediate-key`, keyArgs(args), child);
  const request = new tls.CertRequest(
    `${name}-intermediate-request`,
    { privateKeyPem: key.privateKeyPem, subject: subject("intermediate") },
    child,
  );
  const lifetime = hours(source.intermediateDuration);
  const intermediate = new tls.LocallySignedCert(
    `${name}-intermediate`,
    {
      certRequestPem: request.certRequestPem,
      caPrivateKeyPem: active.key.privateKeyPem,
      caCertPem: active.certificate.certPem,
      isCaCertificate: true,
      setSubjectKeyId: true,
      validityPeriodHours: lifetime,
      earlyRenewalHours: Math.floor(lifetime / 3),
      allowedUses: authorityUses,
    },
    child,
  );
  const secretName = `${place.prefix}-intermediate`;
  const secret = new k8s.core.v1.Secret(
    `${name}-intermediate`,
    {
      metadata: { name: secretName, namespace: place.keyNamespace },
      type: "kubernetes.io/tls",
      stringData: {
        "tls.crt": pulumi.concat(intermediate.certPem, active.certificate.certPem),
        "tls.key": key.privateKeyPem,
        "ca.crt": active.certificate.certPem,
      },
    },
    child,
  );
  return {
    secretName,
    roots: pulumi.all(roots.map(({ certificate }) => certificate.certPem)).apply((pems) => pems.join("")),
    ready: secret,
  };
}

/** @pulumi/tls's arguments for an algorithm such as `ECDSA-P256`. */
function keyArgs(args: Pick<CertificateAuthorityArgs<Plane>, "algorithm">): tls.PrivateKeyArgs {
  const { algorithm, size } = privateKey(args.algorithm);
  return algorithm === "RSA" ? { algorithm, rsaBits: size } : { algorithm, ecdsaCurve: `P${size}` };
}
