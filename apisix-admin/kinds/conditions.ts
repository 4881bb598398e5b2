// Conditions on a request beyond host, path and method: what the server calls vars.

import { z } from "zod";

/**
 * `[variable, operator, value]`, or with "!" before the operator, or several of them after "AND", "OR", "!AND" or "!OR".
 * Variables are nginx's, such as `arg_name`, `http_user_agent` and `ssl_client_s_dn`.
 */
export type Condition = readonly [string, ...unknown[]];

export const conditions = z
  .array(
    z
      .custom<Condition>((condition) => shapeOf(condition) !== "none", {
        error: 'A condition must be a list of variable, operator and value, such as ["arg_name", "==", "value"].',
        abort: true,
      })
      .refine((condition) => unknownOperator(condition) === undefined, {
        error: ({ input }) =>
          `"${unknownOperator(input)}" is not an operator: use one of ${operators.join(", ")}, or "!" and one of them.`,
      }),
    "Conditions must be a list of lists.",
  )
  .min(1, "Give at least one condition, or leave vars out.");

const operators = ["==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch"];

const combining = new Set(["AND", "OR", "!AND", "!OR"]);

function shapeOf(condition: unknown): "several" | "one" | "none" {
  if (!Array.isArray(condition)) return "none";
  const [first, ...rest] = condition as readonly unknown[];
  if (typeof first !== "string" || first === "") return "none";
  if (combining.has(first)) return rest.length > 1 && rest.every((one) => shapeOf(one) !== "none") ? "several" : "none";
  const negated = rest[0] === "!";
  return typeof rest[negated ? 1 : 0] === "string" && rest.length === (negated ? 3 : 2) ? "one" : "none";
}

/** The first operator, at any depth, that the server does not know. */
function unknownOperator(condition: unknown): string | undefined {
  const [, ...rest] = condition as readonly unknown[];
  if (shapeOf(condition) === "several") return rest.map(unknownOperator).find((one) => one !== undefined);
  const operator = String(rest[0] === "!" ? rest[1] : rest[0]);
  return operators.includes(operator.toLowerCase()) ? undefined : operator;
}
