// Pod Security Standard `restricted` and this project's own rules for pods, as a check of a pod's spec.

/** The parts of a pod's spec that the rules look at. */
export interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly securityContext?: SecurityContext & { readonly sysctls?: readonly { readonly name: string }[] };
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly ({ readonly name: string } & Readonly<Record<string, unknown>>)[];
}

interface SecurityContext {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly procMount?: string;
  readonly seccompProfile?: { readonly type: string };
  readonly seLinuxOptions?: Readonly<Record<string, string>>;
  readonly appArmorProfile?: { readonly type: string };
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly securityContext?: SecurityContext;
  readonly ports?: readonly { readonly containerPort?: number; readonly hostPort?: number }[];
  readonly readinessProbe?: unknown;
  readonly resources?: {
    readonly requests?: Readonly<Record<string, string>>;
    readonly limits?: Readonly<Record<string, string>>;
  };
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly subPath?: string;
    readonly subPathExpr?: string;
  }[];
}

const volumeTypes = [
  ...["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"],
];

/** Each breach of the Pod Security Standard `restricted`, in a line. */
export function restrictedBreaches(pod: PodSpec): string[] {
  const breaches: string[] = [];
  const no = (bad: boolean, what: string) => void (bad && breaches.push(what));
  no(pod.hostNetwork === true || pod.hostPID === true || pod.hostIPC === true, "shares a host namespace");
  no((pod.securityContext?.sysctls ?? []).length > 0, "sets sysctls");
  for (const { name, ...source } of pod.volumes ?? []) {
    no(!Object.keys(source).every((type) => volumeTypes.includes(type)), `volume ${name} has a forbidden type`);
  }
  const whole = pod.securityContext ?? {};
  for (const { name, securityContext: own = {}, ports } of [...(pod.initContainers ?? []), ...pod.containers]) {
    const effective = { ...whole, ...own };
    no(own.privileged === true, `${name} is privileged`);
    no(own.allowPrivilegeEscalation !== false, `${name} may escalate privileges`);
    no(!(own.capabilities?.drop ?? []).includes("ALL"), `${name} keeps capabilities`);
    no(
      (own.capabilities?.add ?? []).some((added) => added !== "NET_BIND_SERVICE"),
      `${name} adds capabilities`,
    );
    no(effective.runAsNonRoot !== true || effective.runAsUser === 0, `${name} may run as root`);
    no(
      !["RuntimeDefault", "Localhost"].includes(effective.seccompProfile?.type ?? ""),
      `${name} has no seccomp profile`,
    );
    no(effective.appArmorProfile?.type === "Unconfined", `${name} is not confined by AppArmor`);
    no(
      Object.keys(effective.seLinuxOptions ?? {}).some((key) => key !== "level"),
      `${name} sets SELinux options`,
    );
    no((own.procMount ?? "Default") !== "Default", `${name} has an unmasked /proc`);
    no(
      (ports ?? []).some(({ hostPort }) => hostPort !== undefined),
      `${name} uses a host port`,
    );
  }
  return breaches;
}

/** Each breach of this project's rules beyond the standard. */
export function houseBreaches(pod: PodSpec): string[] {
  const breaches: string[] = [];
  const no = (bad: boolean, what: string) => void (bad && breaches.push(what));
  no(pod.automountServiceAccountToken !== false, "mounts a service account token");
  no((pod.serviceAccountName ?? "default") === "default", "has no service account of its own");
  no(typeof pod.securityContext?.runAsUser !== "number", "has no numeric user");
  const updated = (pod.volumes ?? [])
    .filter((volume) => ["secret", "configMap", "projected"].some((type) => type in volume))
    .map(({ name }) => name);
  const containers = [...(pod.initContainers ?? []), ...pod.containers];
  for (const { name, projected } of pod.volumes ?? []) {
    const { sources = [] } = (projected ?? {}) as { readonly sources?: readonly object[] };
    if (!sources.some((source) => "serviceAccountToken" in source)) continue;
    const holders = containers.filter(({ volumeMounts = [] }) => volumeMounts.some((mount) => mount.name === name));
    const who = holders.map((holder) => holder.name).join(" and ");
    no(holders.length > 1, `${who} share a service account token`);
  }
  // A sidecar's probe decides whether the whole pod is ready: it has one only where the pod cannot serve without it.
  for (const { name, readinessProbe } of pod.containers) {
    no(readinessProbe === undefined, `${name} has no readiness probe`);
  }
  for (const { name, securityContext, resources, volumeMounts } of containers) {
    no(securityContext?.readOnlyRootFilesystem !== true, `${name} can write to its root file system`);
    no(!resources?.requests?.["cpu"] || !resources.requests["memory"], `${name} requests no CPU or no memory`);
    no(!resources?.limits?.["memory"], `${name} has no limit on memory`);
    for (const mount of volumeMounts ?? []) {
      const part = mount.subPath ?? mount.subPathExpr;
      no(
        part !== undefined && updated.includes(mount.name),
        `${name} mounts ${mount.name} by subPath: it never updates`,
      );
    }
  }
  return breaches;
}
