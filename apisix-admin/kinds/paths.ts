// Route paths that the server accepts but no request ever has, with the form that works instead.

import { posix } from "node:path";

/** Why a path never matches, or may not; undefined where nothing speaks against it. */
export function whyUnmatched(path: string): string | undefined {
  const shown = JSON.stringify(path);
  if (!path.startsWith("/")) return `A path must start with "/", unlike ${shown}.`;
  if (/[?#]/.test(path))
    return `${shown} never matches: paths are compared without "?" or "#" and what follows. ${bare(path)}`;
  if (parameter.test(path.replace(/\*$/, ""))) {
    const use = prefixed(path, parameter, ["uri", "~~", patternOf(path)]);
    return `${shown} never matches: paths have no parameters, and "*" works only at the end. ${use}`;
  }
  if (encoded.test(path)) {
    const use = prefixed(path, encoded, ["request_uri", "~~", `${asSent(path)}(\\?|$)`]);
    return `${shown} contains a character that requests carry percent-encoded, so it may not match. ${use}`;
  }
  if (posix.normalize(path) !== path) {
    return `${shown} never matches: paths are compared without "//", "." and "..". Use ${JSON.stringify(posix.normalize(path))}.`;
  }
  return undefined;
}

/** A segment that begins with a colon, a part in braces, or a star. */
const parameter = /(?<=\/):[^/]+|\{[^/]*|\*/;

const encoded = /%[0-9a-fA-F]{2}|[^\x21-\x7e]/;

function bare(path: string): string {
  const [, alone = "/", query = ""] = /^([^?#]*)\??([^#]*)/.exec(path) ?? [];
  const conditions = [...new URLSearchParams(query)].map(([name, value]) => [`arg_${name}`, "==", value]);
  return `Use ${JSON.stringify(alone)}${conditions.length > 0 ? ` with vars: ${JSON.stringify(conditions)}` : ""}.`;
}

function prefixed(path: string, from: RegExp, condition: readonly string[]): string {
  return `Use ${JSON.stringify(`${path.slice(0, path.search(from))}*`)} with vars: ${JSON.stringify([condition])}.`;
}

function patternOf(path: string): string {
  const parts = path.replace(/\*$/, "").split(new RegExp(parameter, "g"));
  return `^${parts.map(literal).join("[^/]+")}${path.endsWith("*") ? "" : "$"}`;
}

function asSent(path: string): string {
  return `^${literal(path.replace(/\*$/, "").replace(/[^\x21-\x7e]/gu, encodeURIComponent))}${path.endsWith("*") ? ".*" : ""}`;
}

function literal(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}
