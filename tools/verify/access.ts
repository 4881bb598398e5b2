// What the checks need of a cluster beyond what the life cycles need; `Cluster` provides it all.

import type { Access } from "@mtls-everywhere/cluster-access";
import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

export type PlatformAccess = Access & Pick<Cluster, "open" | "readyPods" | "workloads">;
