// Waiting for things to happen, each with a deadline that names what did not.

/** Rejects when `promise` has not settled after `ms`. The timer ends with the promise. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const POLL_MS = 20

/**
 * Asks `probe` until it gives a value. For what sends no event: another program's files, ports and answers.
 * @param describe adds to the error what was there instead
 */
export async function eventually<T>(
  ms: number,
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  describe?: () => string,
): Promise<T> {
  const deadline = performance.now() + ms
  for (;;) {
    const value = await probe()
    if (value !== undefined) return value
    if (performance.now() > deadline) throw new Error(`${what}: not after ${ms} ms${describe ? `\n${describe()}` : ''}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Resolves after `ms`: for a stimulus that has a duration, never to wait for an effect. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
