// The rules for pods find violations; otherwise the tests that use them could not fail.

import { deepStrictEqual as same } from "node:assert/strict";

import { houseBreaches, type PodSpec, restrictedBreaches } from "../../policy/podSecurity.ts";
import { hardened, podOf, secretVolume } from "./podSecurity.ts";

const container = {
  name: "app",
  securityContext: hardened,
  resources: { requests: { cpu: "1m", memory: "1Mi" }, limits: { memory: "1Mi" } },
  readinessProbe: {},
  volumeMounts: [{ name: "leaf" }],
};
const right: PodSpec = { ...podOf("app", 1), containers: [container], volumes: [secretVolume("leaf", "app-leaf")] };
const context = (change: object) => ({ containers: [{ ...container, securityContext: { ...hardened, ...change } }] });
const pod = (change: object) => ({ securityContext: { ...right.securityContext, ...change } });

describe("the rules for pods", () => {
  it("accept a correct pod", () => {
    same([...restrictedBreaches(right), ...houseBreaches(right)], []);
  });

  const restricted: readonly (readonly [object, ...string[]])[] = [
    [{ hostNetwork: true }, "shares a host namespace"],
    [{ hostPID: true }, "shares a host namespace"],
    [pod({ sysctls: [{ name: "kernel.shm" }] }), "sets sysctls"],
    [{ volumes: [{ name: "root", hostPath: { path: "/" } }] }, "volume root has a forbidden type"],
    [context({ privileged: true }), "app is privileged"],
    [context({ allowPrivilegeEscalation: undefined }), "app may escalate privileges"],
    [context({ capabilities: {} }), "app keeps capabilities"],
    [context({ capabilities: { drop: ["ALL"], add: ["SYS_ADMIN"] } }), "app adds capabilities"],
    [context({ runAsUser: 0 }), "app may run as root"],
    [pod({ runAsNonRoot: undefined }), "app may run as root"],
    [pod({ seccompProfile: undefined }), "app has no seccomp profile"],
    [context({ seccompProfile: { type: "Unconfined" } }), "app has no seccomp profile"],
    [context({ appArmorProfile: { type: "Unconfined" } }), "app is not confined by AppArmor"],
    [pod({ seLinuxOptions: { type: "spc_t" } }), "app sets SELinux options"],
    [context({ procMount: "Unmasked" }), "app has an unmasked /proc"],
    [{ containers: [{ ...container, ports: [{ hostPort: 80 }] }] }, "app uses a host port"],
    [{ initContainers: [{ name: "init" }] }, ...["init may escalate privileges", "init keeps capabilities"]],
  ];
  for (const [change, ...breaches] of restricted) {
    it(`find violations of \`restricted\`: ${breaches.join(", ")}`, () => {
      same(restrictedBreaches({ ...right, ...change }), breaches);
    });
  }

  const house: readonly (readonly [object, ...string[]])[] = [
    [{ automountServiceAccountToken: undefined }, "mounts a service account token"],
    [{ serviceAccountName: undefined }, "has no service account of its own"],
    [pod({ runAsUser: undefined }), "has no numeric user"],
    [{ containers: [{ ...container, readinessProbe: undefined }] }, "app has no readiness probe"],
    [context({ readOnlyRootFilesystem: false }), "app can write to its root file system"],
    [{ containers: [{ ...container, resources: { limits: { memory: "1Mi" } } }] }, "app requests no CPU or no memory"],
    [
      { containers: [{ ...container, resources: { requests: container.resources.requests } }] },
      "app has no limit on memory",
    ],
    [
      { containers: [{ ...container, volumeMounts: [{ name: "leaf", subPath: "tls.crt" }] }] },
      "app mounts leaf by subPath: it never updates",
    ],
    [
      {
        volumes: [{ name: "token", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }],
        containers: ["app", "other"].map((name) => ({ ...container, name, volumeMounts: [{ name: "token" }] })),
      },
      "app and other share a service account token",
    ],
  ];
  it("accept a sidecar without a probe, which would decide whether the whole pod is ready", () => {
    const sidecar = { ...container, name: "sidecar", restartPolicy: "Always", readinessProbe: undefined };
    same(houseBreaches({ ...right, initContainers: [sidecar] }), []);
  });
  for (const [change, ...breaches] of house) {
    it(`find: ${breaches.join(", ")}`, () => {
      same(houseBreaches({ ...right, ...change }), breaches);
    });
  }
});
