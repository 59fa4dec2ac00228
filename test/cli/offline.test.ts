import assert from 'node:assert/strict'
import { appendFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bodiesDirectory, eventsDirectory } from '../../src/spool/layout.ts'
import { idToText } from '../../src/spool/ids.ts'
import { Outcome } from '../../src/spool/types.ts'
import { Bench, realWorld, to } from '../spool/support.ts'
import type { World } from '../spool/support.ts'
import { run } from './run.ts'
import type { Ran, RunOptions } from './run.ts'

/** A data directory that a server has left, with three messages in it, one of them tried once. */
class Left {
  readonly world: World = realWorld()
  ids: string[] = []

  async fill(): Promise<this> {
    const bench = await Bench.open(this.world)
    const big = Buffer.from(`Subject: x\r\n\r\n${'x'.repeat(40_000)}\r\n`)
    const first = await bench.accept([to('b@one.example'), to('c@one.example')])
    const second = await bench.accept([to('d@two.example')], big, { sender: '', tenant: 'other' })
    const third = await bench.accept([to('e@two.example')])
    this.ids = [first, second, third].map(idToText)
    const row = { id: first, group: 0 }
    const later = { outcome: Outcome.deferred, code: 451, enhanced: '4.7.1', text: 'later' }
    await bench.settle(bench.settlement(row, [later, {}]))
    await bench.drive(bench.owner.admin('hold', [{ id: third, group: 0 }]))
    await bench.close()
    writeFileSync(this.#config, JSON.stringify({ hostname: 'mx.example.org', dataDir: this.world.dataDir }))
    return this
  }

  get #config(): string {
    return join(this.world.dataDir, 'config.json')
  }

  run(words: string, options?: RunOptions): Promise<Ran> {
    return run([...words.split(' '), '--config', this.#config], options)
  }

  async rows(words: string): Promise<Record<string, unknown>[]> {
    const { code, out, err } = await this.run(`${words} --json`)
    assert.deepEqual([code, err], [0, ''])
    const lines = out.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  [Symbol.dispose](): void {
    this.world.end()
  }
}

test('queue list reads the spool when no server runs', async () => {
  using left = await new Left().fill()
  const rows = await left.rows('queue list')
  assert.equal(
    Object.keys(rows[0] ?? {}).join(' '),
    'id sender recipient tenant class site state attempts nextAttempt expires bytes lastReply',
  )
  const byRecipient = new Map(rows.map((row) => [row['recipient'], row]))
  assert.deepEqual([...byRecipient.keys()].map(String).toSorted(), ['b@one.example', 'd@two.example', 'e@two.example'])
  assert.equal(byRecipient.get('b@one.example')?.['attempts'], 1)
  assert.match(String(byRecipient.get('b@one.example')?.['lastReply']), /later/)
  assert.equal(byRecipient.get('e@two.example')?.['state'], 'held')
  assert.equal(byRecipient.get('d@two.example')?.['sender'], '')
  assert.equal(byRecipient.get('d@two.example')?.['state'], 'ready')
})

test('every filter picks its rows', async () => {
  using left = await new Left().fill()
  const filters: [filter: string, recipients: string[]][] = [
    [`--id ${left.ids[0]}`, ['b@one.example']],
    ['--domain TWO.example', ['d@two.example', 'e@two.example']],
    ['--sender anna@sender.example', ['b@one.example', 'e@two.example']],
    ['--sender=', ['d@two.example']],
    ['--recipient d@two.example', ['d@two.example']],
    ['--tenant other', ['d@two.example']],
    ['--state held', ['e@two.example']],
    ['--state active', []],
    ['--domain two.example --state ready', ['d@two.example']],
    ['--id 00000000000', []],
  ]
  for (const [filter, recipients] of filters) {
    const found = (await left.rows(`queue list ${filter}`)).map((row) => String(row['recipient']))
    assert.deepEqual(found.toSorted(), recipients, filter)
  }
})

test('queue summary counts by routing domain when no server runs', async () => {
  using left = await new Left().fill()
  const rows = await left.rows('queue summary')
  assert.deepEqual(rows, [
    { domain: 'two.example', scheduled: 0, ready: 1, active: 0, held: 1 },
    { domain: 'one.example', scheduled: 0, ready: 1, active: 0, held: 0 },
  ])
})

test('explain tells what spool and events know when no server runs', async () => {
  using left = await new Left().fill()
  const [row] = await left.rows(`explain ${left.ids[0]}`)
  assert.equal(row?.['state'], 'ready')
  assert.deepEqual(row?.['recipients'], ['b@one.example'])
  assert.deepEqual(row?.['binding'], { limit: 'server', value: 'not running', origin: left.world.dataDir })
  const history = row?.['history'] as { type: string }[]
  assert.deepEqual(history.map(({ type }) => type).toSorted(), ['delay', 'delivery', 'reception', 'reception'])
  const nobody = await left.run('explain 0zzzzzzzzzz')
  assert.deepEqual(nobody, {
    code: 1,
    out: '',
    err: 'rohrpost: nothing is known of 0zzzzzzzzzz: not in the queue, and no event names it\n',
  })
})

test('explain said that nothing was known of an id in upper case', async () => {
  using left = await new Left().fill()
  const id = idToText(2 ** 40 + 10)
  assert.match(id, /[a-z]/)
  const file = join(eventsDirectory(left.world.dataDir, 0), readdirSync(eventsDirectory(left.world.dataDir, 0))[0] as string)
  const [event] = readFileSync(file, 'utf8').split('\n')
  appendFileSync(file, `${String(event).replace(/"id":"[^"]*"/, `"id":"${id}"`)}\n`)
  const [row] = await left.rows(`explain ${id.toUpperCase()}`)
  assert.deepEqual([row?.['id'], row?.['state']], [id, 'done'])
})

test('what is held was told a time of its next attempt', async () => {
  using left = await new Left().fill()
  const [row] = await left.rows(`explain ${left.ids[2]}`)
  assert.deepEqual([row?.['state'], row?.['nextAttempt']], ['held', ''])
})

test('events tail prints everything once, in order, and goes on from an offset', async () => {
  using left = await new Left().fill()
  const events = await left.rows('events tail')
  const offsets = events.map((event) => event['offset'] as number)
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  )
  assert.equal(events.filter((event) => event['type'] === 'reception').length, 4)
  assert.equal(Object.keys(events[0] ?? {}).join(' '), 'offset time type id recipient tenant source site code enhanced reply attempt')
  assert.deepEqual(await left.rows(`events tail --from ${offsets[3]}`), events.slice(3))
  assert.deepEqual(await left.rows(`events tail --from ${Number(offsets.at(-1)) + 1}`), [])
  const { out } = await left.run('events tail')
  assert.match(out, /^\S+Z {2}delay {6}\S{11} {2}<b@one\.example> {2}at smtp:\/\/192\.0\.2\.1:25 {2}451 4\.7\.1 later$/m)
})

test('events tail --follow goes on with what is new, until it is interrupted', async () => {
  using left = await new Left().fill()
  const controller = new AbortController()
  const [last] = (await left.rows('events tail')).slice(-1)
  const ran = await left.run(`events tail --follow --json --from ${String(last?.['offset'])}`, {
    signal: controller.signal,
    onOut: () => controller.abort(),
  })
  assert.equal(ran.code, 0)
  assert.deepEqual(JSON.parse(ran.out), last)
})

test('check spool finds nothing in what a server left', async () => {
  using left = await new Left().fill()
  const { code, out } = await left.run('check spool')
  assert.equal(code, 0)
  assert.match(out, /^2 shards, 3 messages in 3 groups to 3 recipients\n\d.* of bodies, .* to be reclaimed\n$/)
})

test('check spool ends with 1 when a body is damaged, and says which message', async () => {
  using left = await new Left().fill()
  for (const shard of [0, 1]) {
    const directory = bodiesDirectory(left.world.dataDir, shard)
    for (const name of readdirSync(directory)) truncateSync(join(directory, name), 10)
  }
  const { code, out } = await left.run('check spool')
  assert.equal(code, 1)
  assert.match(out, /^error: shard \d: /m)
  const json = await left.run('check spool --json')
  assert.equal(json.code, 1)
  assert.equal((JSON.parse(json.out) as { findings: { severity: string }[] }).findings[0]?.severity, 'error')
})

test('check spool tells what a crash left, and that is no finding', async () => {
  using left = await new Left().fill()
  const directory = eventsDirectory(left.world.dataDir, 0)
  appendFileSync(join(directory, readdirSync(directory)[0] as string), '{"offset":1')
  const { code, out } = await left.run('check spool')
  assert.equal(code, 0)
  assert.match(out, /^notice: shard 0: .*torn/m)
})

test('where there is no spool, that is said', async () => {
  using left = new Left()
  writeFileSync(join(left.world.dataDir, 'config.json'), JSON.stringify({ hostname: 'mx.example.org', dataDir: left.world.dataDir }))
  const none = `no spool in ${left.world.dataDir}: the first start makes it, if this is the right configuration`
  for (const words of ['queue list', 'queue summary', 'explain 00000000abc']) {
    const { code, err } = await left.run(words)
    assert.equal(code, 69, words)
    assert.equal(err, `rohrpost: no server is running, and ${none}\n`)
  }
  for (const words of ['events tail', 'check spool']) {
    const { code, err } = await left.run(words)
    assert.deepEqual([code, err], [1, `rohrpost: ${none}\n`], words)
  }
})

test('a data directory that is a file is told without a stack', async () => {
  using left = new Left()
  const config = join(left.world.dataDir, 'config.json')
  writeFileSync(config, JSON.stringify({ hostname: 'mx.example.org', dataDir: config }))
  for (const words of ['events tail', 'check spool', 'account remove a@example.org', 'account add a@example.org']) {
    const { code, out, err } = await left.run(words)
    assert.deepEqual([code, out], [78, ''], words)
    assert.match(err, /^rohrpost: cannot use \S+config\.json\/\w+: ENOTDIR: [^\n]*\n$/, words)
  }
})

test('a rejection tells its client and its rule', async () => {
  using left = await new Left().fill()
  const rejection = { type: 'rejection', id: '', recipient: '', source: '192.0.2.7', site: 'open-relay', code: 550, enhanced: '5.7.1' }
  const line = { offset: 2 ** 52, time: '2026-11-24T06:50:00.000Z', ...rejection, tenant: '', reply: 'no', attempt: 0 }
  const directory = eventsDirectory(left.world.dataDir, 0)
  appendFileSync(join(directory, readdirSync(directory)[0] as string), `${JSON.stringify(line)}\n`)
  const { out } = await left.run('events tail')
  assert.match(out, /^\S+Z {2}rejection {2}- {2}from 192\.0\.2\.7 {2}rule open-relay {2}550 5\.7\.1 no$/m)
})

test('a damaged event is told and left out, and the others are printed', async () => {
  using left = await new Left().fill()
  const before = (await left.run('events tail --json')).out
  const offset = 2 ** 52
  const directory = eventsDirectory(left.world.dataDir, 0)
  appendFileSync(join(directory, readdirSync(directory)[0] as string), `{"offset":${offset},"time\n`)
  const said = `rohrpost: the event at offset ${offset} is damaged and left out\n`
  assert.deepEqual(await left.run('events tail --json'), { code: 1, out: before, err: said })
  const text = await left.run('events tail')
  assert.deepEqual([text.code, text.err, text.out.split('\n').length], [1, said, before.split('\n').length])
})
