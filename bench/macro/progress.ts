// One line on a terminal that says what is going on; nothing where nobody looks.

const isTerminal = process.stderr.isTTY === true

/** Shows `text` in place of the last one. '' clears the line. */
export function progress(text: string): void {
  if (isTerminal) process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`)
}

const EVERY_MS = 200

/** Shows `describe()` again and again until `work` has ended. */
export async function during<T>(describe: () => string, work: Promise<T>): Promise<T> {
  const timer = isTerminal ? setInterval(() => progress(describe()), EVERY_MS) : undefined
  try {
    return await work
  } finally {
    clearInterval(timer)
    progress('')
  }
}
