// SIGHUP: what changed holds from now on, and no connection ends for it. A configuration with a mistake changes nothing.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { ask, queueIsTried, queueList } from '../support/control.ts'
import { greeted, handIn, handInBy } from '../support/mail.ts'
import { freePort } from '../support/ports.ts'
import { startServer, type ServerConfig } from '../support/server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { peerTls, serverTls } from '../support/tls.ts'
import { eventually } from '../support/wait.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const old = stack.use(await SmtpSink.start())
const fresh = stack.use(await SmtpSink.start())
const slow = stack.use(await SmtpSink.start({ script: ({ verb }) => (verb === 'RCPT' ? '450 4.2.1 not now\r\n' : undefined) }))

function config(to: SmtpSink, more: ServerConfig = {}): ServerConfig {
  return {
    routes: [
      { domain: 'slow.test', to: `smtp://127.0.0.1:${slow.port}` },
      { domain: '*', to: `smtp://127.0.0.1:${to.port}` },
    ],
    tls: { cert: serverTls.cert, key: serverTls.key },
    listeners: [{ protocol: 'smtp', port: 0, tls: 'starttls' }],
    relayFrom: ['127.0.0.1'],
    retry: { first: '10h', max: '20h', expire: '5d' },
    ...more,
  }
}

const server = stack.use(await startServer(config(old)))
let reloads = 0

/** Writes the configuration, signals, and waits for the log line that says what came of it. */
async function reload(next: ServerConfig | string, says = 'configuration reloaded'): Promise<void> {
  const base = {
    hostname: 'mx.rohrpost.test',
    dataDir: server.dataDir,
    threads: { net: 1, deliver: 1, inspect: 1 },
  }
  writeFileSync(server.configPath, typeof next === 'string' ? next : JSON.stringify({ ...base, ...next }))
  server.child.signal('SIGHUP')
  reloads++
  const done = (): true | undefined =>
    (server.child.stderr.match(/"msg":"configuration (?:not )?reloaded/g) ?? []).length >= reloads ? true : undefined
  await eventually(20_000, 'the reload', done, () => server.child.output())
  assert.match(server.child.stderr.trimEnd().split('\n').at(-1) ?? '', new RegExp(says))
}

// A reload reaches a thread some time after it is logged: what shall hold is asked for until it does.

test('a new route takes new mail, and an open connection stays', async () => {
  using open = await greeted(server.port())
  await handInBy(open, { to: 'a@x.test' })
  await old.received(1)
  await reload(config(fresh))
  await eventually(10_000, 'the new route is used', async () => {
    await handIn(server, { to: 'b@x.test' })
    return fresh.count > 0 ? true : undefined
  })
  await open.expect(250, 'NOOP')
  await handInBy(open, { to: 'c@x.test' })
  assert.equal(server.child.alive, true)
})

test('who may relay is asked anew for each new connection, those that exist go on', async () => {
  using before = await greeted(server.port())
  const answers = (code: number): Promise<unknown> =>
    eventually(10_000, `a new connection is answered ${code}`, async () => {
      using client = await greeted(server.port())
      await client.expect(250, 'MAIL FROM:<a@b.test>')
      return (await client.command('RCPT TO:<b@x.test>')).code === code ? true : undefined
    })
  await reload(config(fresh, { relayFrom: ['192.0.2.0/24'] }))
  await answers(550)
  await before.expect(250, 'MAIL FROM:<a@b.test>')
  await before.expect(250, 'RCPT TO:<b@x.test>')
  await reload(config(fresh))
  await answers(250)
})

test('a new certificate is shown in the next handshake, also on a connection that was there before', async () => {
  using before = await greeted(server.port())
  const shown = async (client: SmtpClient): Promise<boolean> => {
    const tls = await client.startTls({ rejectUnauthorized: false })
    return tls.getPeerCertificate().subject.CN === 'peer.rohrpost.test'
  }
  await reload(config(fresh, { tls: { cert: peerTls.cert, key: peerTls.key } }))
  await eventually(10_000, 'the new certificate', async () => {
    using client = await greeted(server.port())
    return (await shown(client)) || undefined
  })
  assert.ok(await shown(before))
})

test('a new retry time holds for what is put off from now on', async () => {
  let tried = 0
  const hoursUntilNext = async (): Promise<number> => {
    const recipient = `b${tried++}@slow.test`
    await handIn(server, { to: recipient })
    const [line] = await queueIsTried(server, 1, { recipient })
    return (Date.parse(line?.nextAttempt ?? '') - Date.now()) / 3_600_000
  }
  assert.ok(Math.abs((await hoursUntilNext()) - 10) <= 1.1)
  await reload(config(fresh, { retry: { first: '2h', max: '20h', expire: '5d' } }))
  await eventually(10_000, 'the new time', async () => (Math.abs((await hoursUntilNext()) - 2) <= 0.3 ? true : undefined))
})

test('mail that waits for a site that is down follows a new route at once, and so does what was put off', async () => {
  const nobody = await freePort()
  await reload({
    ...config(fresh),
    routes: [
      { domain: 'slow.test', to: `smtp://127.0.0.1:${slow.port}` },
      { domain: '*', to: `smtp://127.0.0.1:${nobody}` },
    ],
  })
  await eventually(10_000, 'the dead route is used', async () => {
    await handIn(server, { to: 'waits@dead.test' })
    const lines = await queueList(server, { recipient: 'waits@dead.test' })
    return lines.some(({ site }) => site.includes(String(nobody))) || undefined
  })
  await handIn(server, { to: 'later@slow.test' })
  await queueIsTried(server, 1, { recipient: 'later@slow.test' })
  await reload({ ...config(fresh), routes: [{ domain: '*', to: `smtp://127.0.0.1:${fresh.port}` }] })
  await fresh.until(10_000, 'the waiting mail', () => fresh.messages.some(({ to }) => to.includes('waits@dead.test')))
  await ask(server, 'queue.retry', { recipient: 'later@slow.test' })
  await fresh.until(10_000, 'the mail that was put off', () => fresh.messages.some(({ to }) => to.includes('later@slow.test')))
})

test('less room than minFreeBytes asks for refuses mail with 452, and more room takes it again', async () => {
  const answers = async (code: number): Promise<void> => {
    await eventually(15_000, `MAIL is answered ${code}`, async () => {
      using client = await greeted(server.port())
      return (await client.command('MAIL FROM:<a@b.test>')).code === code ? true : undefined
    })
  }
  await reload(config(fresh, { limits: { minFreeBytes: 1e15 } }))
  await answers(452)
  await reload(config(fresh))
  await answers(250)
})

test('a mistake changes nothing and is named; what needs a restart is said', async () => {
  await reload('{ "lissteners": [] }', 'configuration not reloaded: the old one stays')
  const line = /^.*"why":.*$/m.exec(server.child.stderr)?.[0] ?? assert.fail(server.child.output())
  const { why, err } = JSON.parse(line) as { why: string; err?: object }
  assert.deepEqual([why, err], [`${server.configPath}: lissteners: unknown key; did you mean listeners?`, undefined])
  assert.match(server.child.stderr, /lissteners/)
  await handIn(server, { to: 'e@x.test' })
  await fresh.until(10_000, 'mail goes on', () => fresh.messages.some(({ to }) => to.includes('e@x.test')))
  await reload(config(fresh, { threads: { net: 2, deliver: 1 } }))
  assert.match(server.child.stderr, /"keys":\["threads\.net"\].*these settings change only with a restart/)
  await handIn(server, { to: 'f@x.test' })
  await fresh.until(10_000, 'mail goes on', () => fresh.messages.some(({ to }) => to.includes('f@x.test')))
})
