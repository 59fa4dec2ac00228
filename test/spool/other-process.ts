// Reads a spool beside its owner: for each line on standard input, the number of groups, and of messages with the body
// that their envelope promises.
//
//   node other-process.ts DATADIR

import { createInterface } from 'node:readline'
import { SpoolReader } from '../../src/spool/reader.ts'

const reader = await SpoolReader.open(process.argv[2] as string)
process.stdout.write('ready\n')
for await (const _ of createInterface({ input: process.stdin })) {
  let groups = 0
  let whole = 0
  reader.refresh()
  for (const { id } of reader.groups()) {
    groups++
    const message = reader.message(id)
    if (message && message.inline?.length === message.envelope.bytes) whole++
  }
  process.stdout.write(`${groups} ${whole}\n`)
}
await reader.close()
