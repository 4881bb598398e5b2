// What the checks of one run share: the way in, the keys and certificates, and the servers staged behind the gateway.

import type { PlatformAccess } from "./access.ts";
import type { Material } from "./material.ts";
import type { Stage } from "./stage.ts";

export interface Scene {
  readonly access: PlatformAccess;
  readonly material: Material;
  readonly stage: Stage;
}
