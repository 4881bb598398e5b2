// On which ports the platform's pods listen.

export const etcdPorts = { client: 2379, peer: 2380, status: 2381 } as const;

export const apisixPorts = { gateway: 9443, admin: 9180, status: 7085 } as const;

export const nginxPort = 8443;

/** Where the gateway's pods export what their renewers know. */
export const metricsPort = 9464;
