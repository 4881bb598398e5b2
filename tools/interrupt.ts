// Ctrl-C of a command that has something to clean up: the first one lets it, the second does not wait.

/** Aborts at the first signal, and prints these words. */
export function interruptible(words: string): AbortSignal {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      // A second signal means that somebody is in a hurry; `make down` ends a lab that it leaves.
      if (interrupt.signal.aborted) process.exit(130);
      process.stderr.write(`\n${words}\n`);
      interrupt.abort(new Error("interrupted"));
    });
  return interrupt.signal;
}
