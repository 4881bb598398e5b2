/** Requests through the gateway while a row is proved. */
import { parseOutputs } from "../../outputs.ts";
import { startLoad } from "../soak/requests.ts";
import type { Numbers } from "../soak/tally.ts";
import { must, type RunningPlatform } from "./row.ts";

/** Connections a second. */
const rate = 20;

/** @param work is given a function that ends the requests and counts them */
export async function underLoad<T>(
  platform: RunningPlatform,
  work: (numbers: () => Promise<Numbers>) => Promise<T>,
): Promise<T> {
  const { gateway } = parseOutputs(JSON.parse(await must(platform, "pulumi", "stack", "output", "--json")));
  const load = await startLoad(platform, gateway, rate);
  try {
    return await work(async () => {
      await load.call("stop");
      return (await load.call("numbers")).arrivals;
    });
  } finally {
    await load.end();
  }
}
