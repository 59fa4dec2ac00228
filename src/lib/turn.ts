// Work put off to the end of the event-loop turn, so that what happens in one turn travels in one batch.

/** Runs `fn` once after the I/O callbacks of this turn of the loop. */
export function atTurnEnd(fn: () => void): void {
  setImmediate(fn)
}

/** Runs `fn` once after `ms`: for what may wait for company. */
export function soon(ms: number, fn: () => void): void {
  setTimeout(fn, ms)
}
