// Ports for servers that are told where to listen.

import { once } from "node:events";
import { createServer } from "node:net";

// Below those that Linux makes connections from (32768 on) and Kubernetes' node ports: between the search and the server's
// start, no connection of another process can take what was found.
const [first, count] = [20_000, 10_000];
let next = Math.floor(Math.random() * count);

/** A port of loopback on which nothing listens, another one each time. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < count; tries += 1) {
    const port = first + (next++ % count);
    if (await isFree(port)) return port;
  }
  throw new Error(`Something listens on each port of loopback from ${first} to ${first + count - 1}.`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  const free = await once(server, "listening").then(
    () => true,
    () => false,
  );
  if (free) await once(server.close(), "close");
  return free;
}
