// The product of the table and the servers, with what only one hop has: every line of the report, planned from the outputs alone.

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Line } from "../check.ts";
import { adminLines } from "../hops/admin.ts";
import { forwardingLines } from "../hops/forwarding.ts";
import { gatewayLines } from "../hops/gateway.ts";
import { storeLines } from "../hops/store.ts";
import { observe } from "../http.ts";
import { offeredAgain } from "../sessions.ts";
import type { Scene } from "../scene.ts";
import { isListed, type Server, serversOf } from "./servers.ts";
import { matrix, type Row } from "./table.ts";
import { rightQuestion } from "./tries.ts";

/** All lines, in the report's order. */
export function linesOf(outputs: PlatformOutputs): readonly Line[] {
  const own = [...gatewayLines(outputs), ...adminLines(outputs), ...storeLines(outputs)];
  const rows = matrix({ gateway: isListed(outputs), admin: outputs.adminClients !== undefined });
  return [
    ...serversOf(outputs).flatMap((server) => [
      ...rows.filter((row) => isFor(row, server)).map((row) => lineOf(row, server)),
      ...own.filter(({ hop }) => hop === server.hop),
    ]),
    ...forwardingLines(outputs),
  ];
}

function isFor(row: Row, server: Server): boolean {
  if ("why" in row) return true;
  return row.plane !== server.plane && !(row.control && server.answers !== 200);
}

function lineOf(row: Row, server: Server): Line {
  const { hop, at } = server;
  const threat = typeof row.threat === "string" ? row.threat : row.threat?.[hop];
  const line = { hop, case: row.case, threat: threat ?? server.threat };
  if ("why" in row) return { ...line, why: row.why };
  const { tried, twice } = row;
  const cell = row.cells[hop];
  if (typeof cell === "string") return { ...line, why: cell };
  const question = async ({ material }: Scene, to = at) =>
    tried(await rightQuestion(server, to, material), server, material);
  return {
    ...{ ...line, at, expect: cell },
    ready: (scene) => question(scene),
    observe: async (scene, to, signal) => {
      const { client, request, ...asked } = await question(scene, to);
      return twice
        ? offeredAgain(scene.access, asked.to, client, request, server.answers, signal)
        : observe(scene.access, asked.to, client, request, signal);
    },
  };
}
