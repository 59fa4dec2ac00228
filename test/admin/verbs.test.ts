import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Caller } from '../../src/admin/control.ts'
import { makeVerbs } from '../../src/admin/verbs.ts'
import { makeMetrics } from '../../src/lib/metrics.ts'
import { EventTail } from '../../src/spool/events.ts'
import { idToText } from '../../src/spool/ids.ts'
import { Bench, realWorld, to } from '../spool/support.ts'

/** The verbs over a spool, with a scheduler that knows nothing. */
function verbsOver(dataDir: string, spoolIsOpen: () => boolean = () => true): ReturnType<typeof makeVerbs> {
  return makeVerbs({
    dataDir,
    metrics: makeMetrics(['main']),
    asker: {
      ask: (_thread, _verb, _args, row) => Promise.resolve(row?.({ state: 'unknown', nextAttempt: '', binding: null })),
      stream: () => ({ done: Promise.resolve(), cancel: () => undefined }),
    },
    threads: () => [],
    ownerOf: () => 'net.1',
    throwIn: () => false,
    spoolIsOpen,
  })
}

function rowsOf(dataDir: string, verb: string, args: object): Promise<Record<string, unknown>[]> {
  return rowsFrom(verbsOver(dataDir), verb, args)
}

async function rowsFrom(verbs: ReturnType<typeof makeVerbs>, verb: string, args: object): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = []
  const caller: Caller = {
    row: (row) => void rows.push(row as Record<string, unknown>),
    congested: false,
    drained: () => Promise.resolve(),
    onGone: () => undefined,
    gone: false,
  }
  const handler = verbs.get(verb) ?? assert.fail(verb)
  assert.equal(await handler(args as Record<string, unknown>, caller), 0)
  return rows
}

/** The log was read before the queue: what was settled between the two stood in neither, and nothing was known of it. */
test('explain knows a message that is delivered while it looks', async (t) => {
  const world = realWorld()
  t.after(() => world.end())
  const bench = await Bench.open(world)
  const id = await bench.accept([to('b@x.example')])
  const historyOf = EventTail.prototype.historyOf
  t.mock.method(EventTail.prototype, 'historyOf', async function (this: EventTail, text: string) {
    const history = await historyOf.call(this, text)
    await bench.settle(bench.settlement({ id, group: 0 }, [{}]))
    return history
  })
  const [row] = await rowsOf(world.dataDir, 'explain', { id: idToText(id) })
  assert.deepEqual([row?.['state'], row?.['recipients']], ['ready', ['b@x.example']])
  t.mock.reset()
  const [after] = await rowsOf(world.dataDir, 'explain', { id: idToText(id) })
  assert.equal(after?.['state'], 'done')
  const history = after?.['history'] as readonly { readonly type: string }[]
  assert.deepEqual(
    history.map(({ type }) => type),
    ['reception', 'delivery'],
  )
  await bench.close()
})

test('what is held and not in memory was told to wait for room there, and a time of its next attempt', async (t) => {
  const world = realWorld()
  t.after(() => world.end())
  const bench = await Bench.open(world)
  const id = await bench.accept([to('b@x.example')])
  await bench.drive(bench.owner.admin('hold', [{ id, group: 0 }]))
  const [row] = await rowsOf(world.dataDir, 'explain', { id: idToText(id) })
  assert.deepEqual([row?.['state'], row?.['nextAttempt']], ['held', ''])
  assert.deepEqual(row?.['binding'], { limit: 'held', value: 'until released', origin: 'operator' })
  await bench.close()
})

test('a history broke off at a file of events that was removed for its age meanwhile', async (t) => {
  const world = realWorld()
  t.after(() => world.end())
  const bench = await Bench.open(world)
  await bench.accept([to('b@x.example')])
  await bench.close()
  const list = async (directory: string): Promise<string[]> => {
    const names = await world.disk.list(directory)
    return directory.includes('events') ? ['0000000000000001.ndjson', ...names] : names
  }
  const tail = await EventTail.open(world.dataDir, { disk: { ...world.disk, list } })
  assert.deepEqual(await tail.historyOf(idToText(99)), [])
})

test('a question before the owners were up left the queue empty for all later ones', async (t) => {
  const world = realWorld()
  t.after(() => world.end())
  let isOpen = false
  const verbs = verbsOver(world.dataDir, () => isOpen)
  for (const verb of ['queue.list', 'queue.show', 'explain']) {
    await assert.rejects(rowsFrom(verbs, verb, { id: idToText(0) }), { name: 'ControlError', code: 69, message: /starting/ }, verb)
  }
  const bench = await Bench.open(world)
  await bench.accept([to('b@x.example')])
  isOpen = true
  const rows = await rowsFrom(verbs, 'queue.list', {})
  assert.deepEqual(
    rows.map(({ recipient }) => recipient),
    ['b@x.example'],
  )
  await bench.close()
})
