// What is printed while a test acts.

/** The result, and one line for each call. */
export async function logged<T>(act: () => Promise<T>): Promise<{ result: T; lines: string[] }> {
  const lines: string[] = [];
  const log = console.log;
  console.log = (line: string) => lines.push(line);
  try {
    return { result: await act(), lines };
  } finally {
    console.log = log;
  }
}
