/** Ctrl-C of a command that has a lab of its own: the first one lets it end the lab, the second does not wait. */

/** Aborts at the first signal, and says so in the words given. */
export function interruptible(words: string): AbortSignal {
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      // The second time somebody is in a hurry; `make down` then ends the lab.
      if (interrupt.signal.aborted) process.exit(130);
      process.stderr.write(`\n${words}\n`);
      interrupt.abort(new Error("interrupted"));
    });
  return interrupt.signal;
}
