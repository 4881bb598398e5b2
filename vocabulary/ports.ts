// The ports that the platform's pods listen on.

export const etcdPorts = { client: 2379, peer: 2380, status: 2381 } as const;

export const apisixPorts = { gateway: 9443, plain: 9080, admin: 9180, status: 7085 } as const;

export const nginxPort = 8443;

/** Where the gateway's pods export their renewers' metrics. */
export const metricsPort = 9464;
