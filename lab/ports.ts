// Ports for servers that are told where to listen.

import { once } from "node:events";
import { createServer } from "node:net";

// Below Linux's ephemeral ports (32768 and up) and Kubernetes' node ports: no other process's connection can take a port
// between the search and the server's start.
const [first, count] = [20_000, 10_000];
let next = Math.floor(Math.random() * count);

/** A loopback port on which nothing listens, a different one each time. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < count; tries += 1) {
    const port = first + (next++ % count);
    if (await isFree(port)) return port;
  }
  throw new Error(`Every loopback port from ${first} to ${first + count - 1} is in use.`);
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
