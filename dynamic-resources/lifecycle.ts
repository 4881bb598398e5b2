// What a kind of dynamic resource does with a cluster.

import type { Failure, Props } from "@mtls-everywhere/apisix-admin/checks";
import type { Access } from "@mtls-everywhere/cluster-access";

/** Inputs and outputs are plain JSON; outputs contain the inputs. */
export interface Lifecycle {
  /** Objections to the inputs, parts of which may be unknown. */
  check(inputs: Props, access: Access): Promise<Failure[]>;
  /** Properties whose change requires a replacement. */
  replaces(id: string, olds: Props, news: Props): string[];
  /** What differs between the wanted and the live state, in sentences. All inputs are known. */
  drift(olds: Props, news: Props, access: Access): Promise<string[]>;
  /** Brings the live state to the wanted one; returns the outputs that are not inputs. */
  apply(olds: Props | undefined, news: Props, access: Access): Promise<{ readonly id: string; readonly outs: Props }>;
  /** The live outputs, or undefined when there is nothing. */
  read(id: string, props: Props, access: Access): Promise<Props | undefined>;
  remove(id: string, props: Props, access: Access): Promise<void>;
}
