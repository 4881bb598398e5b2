/** Addresses and paths inside the lab's own namespaces; the same in every lab, as no other lab sees them. */
export const addresses = {
  /** On a bridge without ports: the node's address, and CoreDNS. */
  node: "10.89.0.1",
  services: "10.96.0.0/16",
  apiService: "10.96.0.1",
  pods: "10.244.0.0/24",
  apiPort: 6443,
  /** Where CoreDNS forwards this zone: a Service of `acme/`, which is there only with LAB_ACME=1. */
  acmeZone: "acme.test",
  nameServer: "10.96.0.53",
};

/** All state is in memory, in the lab's own /run, and is gone when the last process ends. */
export const run = {
  containerd: "/run/containerd",
  socket: "/run/containerd/containerd.sock",
  api: "/run/api.sock",
  network: "/run/netns/lab",
  volumes: "/run/volumes",
};

export const pauseImage = "lab.local/pause:1";

/** `local` PersistentVolumes: enough for a dozen replicas before the next `lab up` wipes Released ones. */
export const volumes = Array.from({ length: 24 }, (_, index) => `local-${index}`);
