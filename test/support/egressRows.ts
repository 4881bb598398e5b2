// What an egress proxy refuses, for the table of wrong inputs: each service, and the whole message.

import { checkServices, clientSecret } from "../../components/outsideServices.ts";
import type { Authority } from "./authorities.ts";

/** The rows, with an authority that can be trusted. */
export function egressRows(authority: () => Authority) {
  const checked = (name: string, service: object) => {
    const right = { host: "api.payments.example", roots: authority().root };
    return said(() => checkServices("egress", { [name]: { ...right, ...service } }));
  };
  const payments = (service: object) => async () => checked("payments", service);
  return [
    {
      input: "an egress proxy without a service",
      provoke: async () => said(() => checkServices("egress", {})),
      message: 'EgressProxy "egress": it has no service to forward to. Name at least one, or remove it.',
    },
    {
      input: "a service whose name cannot be part of a host name",
      provoke: async () => checked("Payments_API", {}),
      message:
        'EgressProxy "egress", service "Payments_API": its name becomes part of a host name. Use up to 40 lower-case letters, digits and hyphens, such as "payments".',
    },
    ...["10.0.0.5", "bank", "https://api.payments.example", "*.payments.example", "payments.shop.svc", undefined].map(
      (host) => ({
        input: `a service whose host is ${host}`,
        provoke: async () => checked("payments", { host }).replace(String(JSON.stringify(host)), '"10.0.0.5"'),
        message:
          'EgressProxy "egress", service "payments": "10.0.0.5" is not the full name of a host, as the service\'s certificate has it. Give it without scheme, port or path, such as "api.example.com"; a Service of this cluster ends with the cluster\'s domain.',
      }),
    ),
    {
      input: "a service at a port that does not exist",
      provoke: payments({ port: 0 }),
      message: 'EgressProxy "egress", service "payments": a port must be from 1 to 65535, not 0.',
    },
    {
      input: "a service without roots",
      provoke: payments({ roots: "" }),
      message:
        'EgressProxy "egress", service "payments": its roots cannot be trusted. The PEM text contains no certificate. Give the certificates of its authorities in PEM.',
    },
    {
      input: "a leaf for a service's root",
      provoke: async () => checked("payments", { roots: (await authority().leaf({ subject: "CN=payments" })).cert }),
      message:
        'EgressProxy "egress", service "payments": its roots cannot be trusted. "CN=payments" is not a certificate authority. Give the certificates of its authorities in PEM.',
    },
    {
      input: "an address for a service's network",
      provoke: payments({ cidrs: ["203.0.113.7"] }),
      message:
        'EgressProxy "egress", service "payments": its cidrs are ["203.0.113.7"]. Give networks such as "203.0.113.0/24", or leave them out for any address.',
    },
    {
      input: "a leaf of the platform for others",
      provoke: async () => {
        const ref = { plane: "upstream", namespace: "mtls", name: "apisix-upstream" } as const;
        return said(() => clientSecret("egress", "mtls", "payments", ref));
      },
      message:
        'EgressProxy "egress", service "payments": Secret mtls/apisix-upstream holds a leaf of the upstream plane, which opens doors of this platform and is shown to nobody outside. Give a certificate that is for this service alone.',
    },
    {
      input: "a client certificate in another namespace than the egress proxy's",
      provoke: async () =>
        said(() => clientSecret("egress", "mtls", "payments", { namespace: "shop", name: "client" })),
      message:
        'EgressProxy "egress", service "payments": Secret shop/client cannot be mounted in namespace mtls. Issue the certificate there, or run the proxy in shop.',
    },
  ];
}

function said(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return "It was accepted.";
}
