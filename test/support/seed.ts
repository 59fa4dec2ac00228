// The seed of this run: given by ROHRPOST_SEED (scripts/test.ts prints it and sets it), else the same every time.

/** An unsigned 32-bit number. Name it in the message of an assertion, or let the runner do so. */
export function runSeed(): number {
  const given = process.env['ROHRPOST_SEED']
  return given === undefined ? 1 : Number(given) >>> 0
}
