// Mail exchangers by a real resolver: order, fallback, null MX, truncated answers, silence.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { without } from '../support/peers/installed.ts'
import { Unbound, type UnboundOptions } from '../support/peers/unbound.ts'
import { freePort } from '../support/ports.ts'
import { startServer, type Server } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { RETRY } from './relay.ts'

const skip = without('unbound')

interface Lab extends AsyncDisposable {
  readonly server: Server
  /** Sinks on 127.0.0.2 and 127.0.0.3, the same port. Reports to home.test arrive at the second. */
  readonly first: SmtpSink
  readonly second: SmtpSink
}

async function startLab(options: UnboundOptions, allowHosts = ['127.0.0.0/8']): Promise<Lab> {
  const stack = new AsyncDisposableStack()
  try {
    const port = await freePort('127.0.0.2')
    const first = stack.use(await SmtpSink.start({ host: '127.0.0.2', port }))
    const second = stack.use(await SmtpSink.start({ host: '127.0.0.3', port }))
    const unbound = stack.use(await Unbound.start(options))
    const server = stack.use(
      await startServer({
        routes: [
          { domain: 'home.test', to: `smtp://127.0.0.3:${port}` },
          { domain: '*', to: 'mx' },
        ],
        retry: RETRY,
        dns: { servers: [`127.0.0.1:${unbound.port}`] },
        mxPort: port,
        allowHosts,
      }),
    )
    const owned = stack.move()
    return { server, first, second, [Symbol.asyncDispose]: () => owned.disposeAsync() }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function handIn(server: Server, recipient: string): Promise<void> {
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO client.test')
  assert.equal((await client.send('a@home.test', [recipient], 'Subject: x\r\n\r\nhello\r\n')).code, 250)
  await client.quit()
}

const HOSTS = ['one.mx.test. 300 IN A 127.0.0.2', 'two.mx.test. 300 IN A 127.0.0.3', 'dead.mx.test. 300 IN A 127.0.0.9']

test('the most preferred exchanger that answers gets the message', { skip }, async () => {
  const records = [...HOSTS, 'a.test. 300 IN MX 30 two.mx.test.', 'a.test. 300 IN MX 20 one.mx.test.', 'a.test. 300 IN MX 10 dead.mx.test.']
  await using lab = await startLab({ records })
  await handIn(lab.server, 'b@a.test')
  assert.deepEqual((await lab.first.received(1))[0]?.to, ['b@a.test'])
  assert.equal(lab.second.count, 0)
})

test('a domain without MX is its own exchanger', { skip }, async () => {
  await using lab = await startLab({ records: ['plain.test. 300 IN A 127.0.0.2'] })
  await handIn(lab.server, 'b@plain.test')
  assert.deepEqual((await lab.first.received(1))[0]?.to, ['b@plain.test'])
})

test('an alias is followed', { skip }, async () => {
  const records = [...HOSTS, 'alias.test. 300 IN CNAME target.test.', 'target.test. 300 IN MX 10 one.mx.test.']
  await using lab = await startLab({ records })
  await handIn(lab.server, 'b@target.test')
  assert.equal((await lab.first.received(1)).length, 1)
})

test('a null MX bounces at once', { skip }, async () => {
  await using lab = await startLab({ records: ['nomail.test. 300 IN MX 0 .'] })
  await handIn(lab.server, 'b@nomail.test')
  const [report] = await lab.second.received(1)
  assert.deepEqual([report?.from, report?.to], ['', ['a@home.test']])
  assert.match(report?.data.toString('latin1') ?? '', /Status: 5\.1\.10/)
})

test('a domain that does not exist bounces at once', { skip }, async () => {
  await using lab = await startLab({ records: HOSTS })
  await handIn(lab.server, 'b@missing.test')
  assert.match((await lab.second.received(1))[0]?.data.toString('latin1') ?? '', /Status: 5\.1\.2|Status: 5\.4\.4/)
})

test('an answer too long for UDP is asked again by TCP', { skip }, async () => {
  const many = Array.from({ length: 120 }, (_, index) => `many.test. 300 IN MX ${100 + index} exchanger-number-${index}.mx.test.`)
  await using lab = await startLab({ records: [...HOSTS, ...many, 'many.test. 300 IN MX 10 one.mx.test.'], maxUdpBytes: 512 })
  await handIn(lab.server, 'b@many.test')
  assert.deepEqual((await lab.first.received(1))[0]?.to, ['b@many.test'])
})

test('a domain whose servers are silent delays its own mail only', { skip }, async () => {
  const records = [...HOSTS, 'a.test. 300 IN MX 10 one.mx.test.']
  await using lab = await startLab({ records, silent: ['silent.test.'] })
  await handIn(lab.server, 'b@silent.test')
  for (let i = 0; i < 20; i++) await handIn(lab.server, `r${i}@a.test`)
  await lab.first.received(20)
  const { stdout } = await lab.server.command('queue', 'list', '--json')
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { recipient: string })
  assert.deepEqual(
    rows.map(({ recipient }) => recipient),
    ['b@silent.test'],
  )
})

test('loopback is refused as an exchanger unless the laboratory allows it', { skip }, async () => {
  await using lab = await startLab({ records: [...HOSTS, 'evil.test. 300 IN MX 10 one.mx.test.'] }, [])
  await handIn(lab.server, 'b@evil.test')
  assert.match((await lab.second.received(1))[0]?.data.toString('latin1') ?? '', /Status: 5\.4\.4/)
  assert.equal(lab.first.count, 0)
})
