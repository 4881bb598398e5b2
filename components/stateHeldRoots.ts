// A generation's root held in Pulumi's state, encrypted and protected, with its intermediate in the cluster.

import { privateKey } from "@mtls-everywhere/vocabulary/algorithms";
import { hours } from "@mtls-everywhere/vocabulary/durations";
import type { Plane } from "@mtls-everywhere/vocabulary/planes";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";

import type { Generation } from "./generations.ts";
import { commonName, type IssuerPlace, named, type SigningPair } from "./issuerPlace.ts";

/** What may change during a generation's life. */
export interface StateHeldSettings {
  /** Refuse to delete the active generation's key and root until they are unprotected. */
  readonly protect: boolean;
  /** Lifetime of an intermediate; `pulumi up` renews it in the last third. */
  readonly intermediateDuration: string;
}

/** The root, and its intermediate as a Secret that cert-manager signs with. */
export function createStateHeldRoot(
  name: string,
  plane: Plane,
  settings: StateHeldSettings,
  generation: Generation,
  place: IssuerPlace,
  child: { readonly parent: pulumi.Resource },
): SigningPair {
  const subject = (commonName: string) => ({ commonName, organization: generation.trustDomain });
  const authorityUses = ["cert_signing", "crl_signing", "digital_signature"];
  // A retirement is refused while anything needs the generation; unprotecting it by hand first would make nobody safer.
  const held = { ...child, protect: settings.protect && generation.active };
  const rootName = `${name}-root-${generation.name}`;
  const rootKey = new tls.PrivateKey(`${rootName}-key`, keyArgs(generation), held);
  const root = new tls.SelfSignedCert(
    rootName,
    {
      privateKeyPem: rootKey.privateKeyPem,
      subject: subject(`${plane} root ${generation.name}`),
      isCaCertificate: true,
      setSubjectKeyId: true,
      validityPeriodHours: hours(generation.rootDuration),
      allowedUses: authorityUses,
    },
    held,
  );

  const own = `${named(name, generation)}-intermediate`;
  const key = new tls.PrivateKey(`${own}-key`, keyArgs(generation), child);
  const request = new tls.CertRequest(
    `${own}-request`,
    { privateKeyPem: key.privateKeyPem, subject: subject(commonName(plane, "intermediate", generation)) },
    child,
  );
  // An older generation's root may have a shorter lifetime than the configuration now gives intermediates.
  const lifetime = Math.min(hours(settings.intermediateDuration), hours(generation.rootDuration));
  const intermediate = new tls.LocallySignedCert(
    own,
    {
      certRequestPem: request.certRequestPem,
      caPrivateKeyPem: rootKey.privateKeyPem,
      caCertPem: root.certPem,
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
    own,
    {
      metadata: { name: secretName, namespace: place.keyNamespace },
      type: "kubernetes.io/tls",
      stringData: {
        "tls.crt": pulumi.concat(intermediate.certPem, root.certPem),
        "tls.key": key.privateKeyPem,
        "ca.crt": root.certPem,
      },
    },
    child,
  );
  return { secretName, root: root.certPem, ready: secret };
}

/** @pulumi/tls's arguments for an algorithm such as `ECDSA-P256`. */
function keyArgs(generation: Pick<Generation, "algorithm">): tls.PrivateKeyArgs {
  const { algorithm, size } = privateKey(generation.algorithm);
  return algorithm === "RSA" ? { algorithm, rsaBits: size } : { algorithm, ecdsaCurve: `P${size}` };
}
