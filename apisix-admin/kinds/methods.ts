// The HTTP methods that the gateway knows.

export const methods = [
  ...(["GET", "POST", "PUT", "DELETE", "PATCH"] as const),
  ...(["HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"] as const),
] as const;
