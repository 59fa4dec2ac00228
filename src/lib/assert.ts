// Invariants, checked in production too: a broken one is a bug, and the thread that finds it dies and is restarted.

/** Thrown by `assert`; never caught by session or delivery code. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** The `default` of a switch over a discriminated union. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}
