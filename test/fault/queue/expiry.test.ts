// Mail that cannot be delivered in its time returns to its sender with what was heard last, be it of the message or of the
// site, and is gone from the queue.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort } from '../../support/ports.ts'
import { startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { Peer } from '../support/peer.ts'
import { ScriptedDns } from '../support/scripted-dns.ts'
import { events, queueEmpties } from '../support/watch.ts'

test('expired mail returns with the last reply of its recipient, its site, or its name servers', async () => {
  let tries = 0
  await using busy = await Peer.start(({ verb }) => (verb === 'RCPT' ? `450 4.2.1 busy for the ${++tries}. time\r\n` : undefined))
  await using down = await Peer.start(({ verb }) =>
    verb === 'banner' ? { say: '421 4.3.2 closed for the holidays\r\n', then: 'close' } : undefined,
  )
  await using dns = await ScriptedDns.start(() => ({ rcode: 2 }))
  await using home = await SmtpSink.start()
  await using server = await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'busy.test', to: `smtp://127.0.0.1:${busy.port}` },
      { domain: 'down.test', to: `smtp://127.0.0.1:${down.port}` },
      { domain: 'nobody.test', to: `smtp://127.0.0.1:${await freePort()}` },
      { domain: '*', to: 'mx' },
    ],
    dns: { servers: [dns.address] },
    retry: { first: '300ms', max: '500ms', expire: '4s', warnAfter: false },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  // RFC 3463 §3.5: the status is that of the real problem, not 4.4.7.
  const expected: Readonly<Record<string, readonly [status: string, heard: RegExp]>> = {
    'busy.test': ['4.2.1', /450 4\.2\.1 busy for the \d+\. time/],
    'down.test': ['4.3.2', /421 4\.3\.2 closed for the holidays/],
    'nobody.test': ['4.4.1', /cannot connect to 127\.0\.0\.1.*ECONNREFUSED/],
    'lost.test': ['4.4.3', /DNS lookup of lost\.test failed: .*SERVFAIL/],
  }
  for (const domain of Object.keys(expected)) {
    assert.equal((await client.send('sender@home.test', [`b@${domain}`], `Subject: for ${domain}\r\n\r\nx\r\n`)).code, 250)
  }
  await home.received(4)
  await queueEmpties(server)
  assert.ok(tries >= 3, `${tries} tries`)
  for (const [domain, [status, heard]] of Object.entries(expected)) {
    const reports = home.messages
      .map(({ data }) => data.toString('latin1'))
      .filter((text) => text.includes(`Final-Recipient: rfc822; b@${domain}`))
    assert.equal(reports.length, 1, `one report about ${domain}`)
    // Long fields are folded.
    const text = (reports[0] as string).replace(/\r\n[ \t]+/g, ' ')
    assert.match(text, /\r\nAction: failed\r\n/)
    assert.equal(/\r\nStatus: (\S+)\r\n/.exec(text)?.[1], status)
    assert.match(text, heard)
    assert.match(text, new RegExp(`Subject: for ${domain}`), 'the message is returned')
  }
  const expiries = (await events(server)).filter(({ type }) => type === 'expiry')
  assert.deepEqual(
    expiries.map(({ recipient }) => recipient).toSorted(),
    Object.keys(expected)
      .map((domain) => `b@${domain}`)
      .toSorted(),
  )
  for (const { recipient, reply } of expiries) assert.match(reply, expected[recipient.slice(2)]?.[1] as RegExp)
})
