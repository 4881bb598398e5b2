// What the checks need of a cluster beside what the life cycle needs: `Cluster` has it all.

import type { Access } from "@mtls-everywhere/apisix-admin";
import type { Cluster } from "@mtls-everywhere/apisix-admin/access";

export type PlatformAccess = Access & Pick<Cluster, "open" | "readyPods" | "workloads">;
