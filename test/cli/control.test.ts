import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { ControlError, ControlServer } from '../../src/admin/control.ts'
import type { Verb } from '../../src/admin/control.ts'
import { makeLog } from '../../src/lib/log.ts'
import { TempFolder } from '../support/process.ts'
import { run } from './run.ts'
import type { Ran, RunOptions } from './run.ts'

const silent = makeLog('test', { level: 'fatal' }, { write: () => undefined })

/** A control socket with verbs of the test's own, in place of a server. */
class Fake {
  readonly folder: TempFolder = new TempFolder('control')
  readonly asked: { verb: string; args: object }[] = []
  #server: ControlServer | undefined
  readonly #config: string

  constructor() {
    const dataDir = join(this.folder.path, 'data')
    mkdirSync(dataDir)
    this.#config = join(this.folder.path, 'config.json')
    writeFileSync(this.#config, JSON.stringify({ hostname: 'mx.example.org', dataDir }))
  }

  get socket(): string {
    return join(this.folder.path, 'data', 'control.sock')
  }

  async open(verbs: Record<string, Verb>): Promise<this> {
    const kept = Object.entries(verbs).map(([verb, handler]): [string, Verb] => {
      return [verb, (args, caller) => (this.asked.push({ verb, args }), handler(args, caller))]
    })
    this.#server = new ControlServer(this.socket, new Map(kept), silent)
    await this.#server.open()
    return this
  }

  run(words: string, options?: RunOptions): Promise<Ran> {
    return run([...words.split(' '), '--config', this.#config], options)
  }

  [Symbol.dispose](): void {
    this.#server?.close()
    this.folder[Symbol.dispose]()
  }
}

const rows =
  (...values: unknown[]): Verb =>
  (_, caller) => {
    for (const value of values) caller.row(value)
    return Promise.resolve(0)
  }

const LINE = {
  id: '00000000abc',
  sender: '',
  recipient: 'b\u001b@x',
  tenant: 'acme',
  class: 'bulk',
  site: 'google',
  state: 'scheduled',
  attempts: 3,
  nextAttempt: '2026-11-24T06:50:00.000Z',
  expires: '2026-11-29T06:50:00.000Z',
  bytes: 4096,
  lastReply: '451 4.7.1 later',
}

test('queue list prints rows as they are, or as columns', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.list': rows(LINE, { ...LINE, sender: 'a@x', recipient: 'c@x', nextAttempt: '' }) })
  const json = await fake.run('queue list --json --domain x --state scheduled')
  assert.deepEqual(fake.asked[0]?.args, { domain: 'x', state: 'scheduled' })
  assert.deepEqual(JSON.parse(json.out.split('\n')[0] as string), LINE)
  const { code, out } = await fake.run('queue list')
  assert.equal(code, 0)
  assert.equal(
    out,
    [
      'id           sender  recipient  site    state      tries  next                      bytes  last reply',
      '00000000abc  <>      b?@x       google  scheduled      3  2026-11-24T06:50:00.000Z   4096  451 4.7.1 later',
      '00000000abc  a@x     c@x        google  scheduled      3  -                          4096  451 4.7.1 later',
      '',
    ].join('\n'),
  )
})

test('an empty queue prints nothing', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.list': rows(), 'queue.summary': rows() })
  assert.deepEqual(await fake.run('queue list'), { code: 0, out: '', err: '' })
  assert.deepEqual(await fake.run('queue summary'), { code: 0, out: '', err: '' })
})

test('twenty thousand rows come through whole', async () => {
  using fake = new Fake()
  await fake.open({
    'queue.list': async (_, caller) => {
      for (let i = 0; i < 20_000; i++) {
        caller.row({ ...LINE, attempts: i })
        if (i % 1000 === 0) await caller.drained()
      }
      return 0
    },
  })
  const { out } = await fake.run('queue list --json')
  assert.equal(out.split('\n').length, 20_001)
})

test('queue summary has the columns that the server gives', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.summary': rows({ site: 'google', ready: 12, held: 0 }, { site: 'x', ready: 3, held: 1 }) })
  assert.equal((await fake.run('queue summary')).out, 'site    ready  held\ngoogle     12     0\nx           3     1\n')
})

test('queue summary shows people a time, not a number', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.summary': rows({ site: 'x', backoffUntil: Date.UTC(2026, 10, 24, 6, 50) }, { site: 'y', backoffUntil: 0 }) })
  assert.equal((await fake.run('queue summary')).out, 'site  backoffUntil\nx     2026-11-24T06:50:00.000Z\ny\n')
  assert.equal((await fake.run('queue summary --json')).out, '{"site":"x","backoffUntil":1795503000000}\n{"site":"y","backoffUntil":0}\n')
})

test('a change that changes nothing says why that may be', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.hold': (_, caller) => (caller.row({ action: 'hold', changed: 0 }), Promise.resolve(1)) })
  assert.deepEqual(await fake.run('queue hold --all'), {
    code: 1,
    out: '0 held: nothing matches, or all that does is so already\n',
    err: '',
  })
})

test('queue show prints one fact a line', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.show': rows({ id: '00000000abc', bytes: 3, envid: '', flags: ['dots', 'binary'] }) })
  assert.equal((await fake.run('queue show 00000000abc')).out, 'id          00000000abc\nbytes       3\nflags       dots binary\n\n')
  assert.deepEqual(fake.asked[0]?.args, { id: '00000000abc' })
})

test('queue show handed the escape sequences of a reply to the terminal', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.show': rows({ lastReply: '451 \u001b]0;title\u0007\u009b31m later' }) })
  assert.equal((await fake.run('queue show 00000000abc')).out, 'lastReply   451 ?]0;title??31m later\n\n')
})

for (const [action, said] of [
  ['hold', 'held'],
  ['release', 'released'],
  ['retry', 'to be tried now'],
  ['remove', 'removed'],
  ['bounce', 'bounced'],
]) {
  test(`queue ${action} passes its filter on and says how many changed`, async () => {
    using fake = new Fake()
    await fake.open({ [`queue.${action}`]: rows({ action, changed: 3 }) })
    assert.equal((await fake.run(`queue ${action} --sender a@x --site google`)).out, `3 ${said}\n`)
    assert.deepEqual(fake.asked[0]?.args, { sender: 'a@x', site: 'google' })
    assert.equal((await fake.run(`queue ${action} --all --json`)).out, `{"action":"${action}","changed":3}\n`)
    assert.deepEqual(fake.asked[1]?.args, { all: true })
  })
}

test('the null sender is a filter too', async () => {
  using fake = new Fake()
  await fake.open({ 'queue.hold': rows({ changed: 0 }) })
  await fake.run('queue hold --sender=')
  assert.deepEqual(fake.asked[0]?.args, { sender: '' })
})

test('the exit code is what the server says, in an end or in an error', async () => {
  using fake = new Fake()
  await fake.open({
    'queue.hold': () => Promise.resolve(1),
    'queue.show': () => Promise.reject(new ControlError(1, 'no such message is in the queue')),
    metrics: () => Promise.reject(new Error('a bug')),
  })
  assert.equal((await fake.run('queue hold --all')).code, 1)
  assert.deepEqual(await fake.run('queue show 00000000abc'), { code: 1, out: '', err: 'rohrpost: no such message is in the queue\n' })
  assert.deepEqual(await fake.run('metrics'), { code: 1, out: '', err: 'rohrpost: a bug\n' })
})

test('metrics are passed through', async () => {
  using fake = new Fake()
  await fake.open({ metrics: rows('# TYPE a counter\na 1\n') })
  assert.equal((await fake.run('metrics')).out, '# TYPE a counter\na 1\n')
  assert.equal((await fake.run('metrics --json')).out, '# TYPE a counter\na 1\n')
})

test('explain says what a message waits for, and what happened', async () => {
  using fake = new Fake()
  const reply = { recipient: 'b@x', code: 451, enhanced: '4.7.1', reply: 'later' }
  const history = [
    { time: '2026-11-24T06:49:00.000Z', type: 'reception', recipient: 'b@x', site: '', code: 250, enhanced: '2.0.0', reply: '' },
    { time: '2026-11-24T06:50:00.000Z', type: 'delay', site: 'google', ...reply },
  ]
  const binding = { limit: 'connections', value: '5', origin: 'provider google' }
  const row = {
    id: '00000000abc',
    state: 'ready',
    site: 'google',
    recipients: ['b@x'],
    nextAttempt: '',
    binding,
    lastReply: '451 later',
    history,
  }
  await fake.open({ explain: rows(row) })
  assert.deepEqual(JSON.parse((await fake.run('explain 00000000abc --json')).out), row)
  assert.equal(
    (await fake.run('explain 00000000abc')).out,
    [
      'state       ready',
      'site        google',
      'recipients  b@x',
      'waits for   connections = 5 (provider google)',
      'last reply  451 later',
      'history',
      '  2026-11-24T06:49:00.000Z  reception  b@x  250 2.0.0',
      '  2026-11-24T06:50:00.000Z  delay      b@x  at google  451 4.7.1 later',
      '',
      '',
    ].join('\n'),
  )
})

test('trace follows until it is interrupted, and the server is told', async () => {
  using fake = new Fake()
  const controller = new AbortController()
  let gone: () => void = () => undefined
  const told = new Promise<void>((resolve) => (gone = resolve))
  await fake.open({
    'trace.in': (_, caller) => {
      const row = { connection: 7, client: '::1', direction: 'in', text: 'EHLO x\u0007' }
      caller.row({ ...row, time: '2026-11-24T06:50:00.000Z' })
      caller.row({ ...row, time: '2026-11-24T06:50:00.250Z', direction: 'out', text: '250 Ok' })
      return new Promise((resolve) => caller.onGone(() => (gone(), resolve(0))))
    },
  })
  const ran = fake.run('trace in --match x', { signal: controller.signal, onOut: (text) => text.includes('Ok') && controller.abort() })
  const { code, out } = await ran
  await told
  assert.equal(code, 0)
  assert.equal(out, '06:50:00.000      +0      7 < EHLO x?\n06:50:00.250    +250      7 > 250 Ok\n')
  assert.deepEqual(fake.asked[0]?.args, { match: 'x' })
})

test('debug throw names the thread', async () => {
  using fake = new Fake()
  await fake.open({ 'debug.throw': rows() })
  assert.equal((await fake.run('debug throw net.1')).code, 0)
  assert.deepEqual(fake.asked, [{ verb: 'debug.throw', args: { thread: 'net.1' } }])
})

test('without a server, commands that need one end with 69', async () => {
  using fake = new Fake()
  for (const words of ['metrics', 'queue show 00000000abc', 'queue hold --all', 'trace in', 'debug throw net.1']) {
    const { code, err } = await fake.run(words)
    assert.equal(code, 69, words)
    assert.equal(err, `rohrpost: no server is running here (nobody listens at ${fake.socket}); is --config the one it was started with?\n`)
  }
})

async function answering(fake: Fake, answer: string): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.end(answer))).listen(fake.socket)
  await once(server, 'listening')
  return server
}

test('an answer that breaks off or is no answer ends with 69', async () => {
  for (const [answer, said] of [
    ['', 'the server ended before its answer did'],
    ['{"row":1}\n{"ro', 'the server ended before its answer did'],
    ['HTTP/1.1 400 Bad Request\r\n', 'what answers at the control socket does not speak JSON: HTTP/1.1 400 Bad Request\r'],
    ['null\n', 'what answers at the control socket does not speak the protocol: null'],
    ['{"what":1}\n', 'what answers at the control socket does not speak the protocol: {"what":1}'],
  ] as const) {
    using fake = new Fake()
    const server = await answering(fake, answer)
    const { code, err } = await fake.run('metrics')
    server.close()
    assert.deepEqual([code, err], [69, `rohrpost: ${said}\n`], answer)
  }
})
