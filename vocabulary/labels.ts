// The labels by which the platform's objects are found.

/** What everything that this library creates is part of. */
export const product = "mtls-everywhere";

/** Label selector of the workloads and pods that this library creates, as kubectl takes it. */
export const librarySelector = `app.kubernetes.io/part-of=${product}`;
