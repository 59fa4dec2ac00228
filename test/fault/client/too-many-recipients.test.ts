// More recipients than the server takes: the first ones get the message, each further one is told 452 and keeps its own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { queueEmpties } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const TAKEN = 100
const TOO_MANY = 50

test('recipients above the limit get 452 4.5.3 and those below it their message, once', async () => {
  await using sink = await SmtpSink.start()
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    smtp: { recipientsMax: TAKEN },
  })
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  const recipients = Array.from({ length: TAKEN + TOO_MANY }, (_, n) => `RCPT TO:<r${n}@example.net>\r\n`)
  const replies = await wire.exchange(`MAIL FROM:<a@example.org>\r\n${recipients.join('')}DATA\r\n`, recipients.length + 2)
  assert.deepEqual(new Set(replies.slice(0, TAKEN + 1).map((reply) => reply.slice(0, 3))), new Set(['250']))
  for (const reply of replies.slice(TAKEN + 1, -1)) assert.match(reply, /^452 4\.5\.3 Too many recipients/)
  assert.match((await wire.exchange('Subject: x\r\n\r\nx\r\n.\r\n'))[0] ?? '', /^250 /)
  await queueEmpties(server)
  const reached = sink.messages.flatMap((message) => message.to)
  assert.equal(reached.length, TAKEN)
  assert.equal(new Set(reached).size, TAKEN)
})
