// Keeps secrets out of what Pulumi's SDK says for debugging.

import * as pulumi from "@pulumi/pulumi";

/**
 * From now on, debug messages of the SDK leave out what the engine answers. It is all there in the clear, private keys and passwords
 * included, and `pulumi up --json` and `--event-log` write these messages even if nobody debugs.
 */
export function withholdAnswers(): void {
  // The very object that the rest of the SDK logs by.
  const log = pulumi.log as { debug: typeof pulumi.log.debug };
  const { debug } = log;
  log.debug = (message, ...more) => debug(message.replace(/(?<=\bresp: )[^]+/, "(withheld)"), ...more);
}
