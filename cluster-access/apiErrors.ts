// What a failed call to the Kubernetes API says.

import { ApiException } from "@kubernetes/client-node";

/** The HTTP status of a refusal; 0 when the API server gave no answer. */
export function statusOf(error: unknown): number {
  return error instanceof ApiException ? error.code : 0;
}

/** What a call answers; nothing when what it asks for is not there. */
export async function found<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** The API server's own words, without a full stop; those of the connection where it gave no answer. */
export function saidBy(error: unknown): string {
  if (error instanceof ApiException) return messageIn(error).replace(/\.$/, "");
  if (error instanceof Error) {
    const cause = error.cause as NodeJS.ErrnoException | undefined;
    return cause?.code ?? cause?.message ?? (error as NodeJS.ErrnoException).code ?? error.message;
  }
  // A WebSocket rejects with an event.
  return String((error as { message?: string } | undefined)?.message ?? error);
}

/** The same with the HTTP status. */
export function reasonOf(error: unknown): string {
  const status = statusOf(error);
  return status ? [`HTTP ${status}`, saidBy(error)].filter((part) => part !== "").join(": ") : saidBy(error);
}

function messageIn({ body }: ApiException<unknown>): string {
  const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
  try {
    return (JSON.parse(text) as { message?: string }).message ?? "";
  } catch {
    return text;
  }
}
