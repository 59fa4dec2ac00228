// Above limits.residentEntriesMax the queue waits on disk: a long one for a dead site delays nobody, operators reach all of it,
// and when the site is back, every message arrives, whatever was restarted meanwhile.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ask, explanation } from '../support/control.ts'
import { greeted, handIn, handInBy } from '../support/mail.ts'
import { freePort } from '../support/ports.ts'
import { TempFolder } from '../support/process.ts'
import { startServer, type Server, type ServerConfig } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const MESSAGES = 2_000
const LIMIT = 1_000
const MS_MAX = 60_000

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('backlog'))
const live = stack.use(await SmtpSink.start())
const deadPort = await freePort()
const dead = `smtp://127.0.0.1:${deadPort}`
const config: ServerConfig = {
  routes: [
    { domain: 'dead.test', to: dead },
    { domain: '*', to: `smtp://127.0.0.1:${live.port}` },
  ],
  retry: { first: '1s', max: '2s', expire: '5d' },
  limits: { residentEntriesMax: LIMIT },
}

interface Site {
  readonly site: string
  readonly ready: number
  readonly held: number
}

async function queueMetrics(server: Server): Promise<{ all: number; paged: number }> {
  const { stdout } = await server.command('metrics')
  const samples = [...stdout.matchAll(/^rohrpost_queue\{state="([a-z]+)"\} (\d+)$/gm)].map(([, state, n]) => [state, Number(n)] as const)
  return { all: samples.reduce((sum, [, n]) => sum + n, 0), paged: new Map(samples).get('paged') ?? NaN }
}

test('a backlog beyond memory is taken, hides nothing, is reached by operators, and arrives', async () => {
  const ids: string[] = []
  {
    await using server = await startServer(config, folder.path)
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        using client = await greeted(server.port())
        for (let n = 0; n < MESSAGES / 20; n++) ids.push(await handInBy(client, { to: 'b@dead.test' }))
      }),
    )
    const began = Date.now()
    await handIn(server, { to: 'a@live.test' })
    await live.received(1)
    assert.ok(Date.now() - began < 5_000, 'a live site waited for a dead one')

    const total = async (): Promise<Site | undefined> => (await ask<Site>(server, 'queue.summary')).find(({ site }) => site === dead)
    await eventually(MS_MAX, 'the summary counts what is not in memory', async () => (await total())?.ready === MESSAGES || undefined)
    const { all, paged } = await queueMetrics(server)
    assert.equal(all, MESSAGES, 'the metrics count what is not in memory')
    assert.ok(paged >= MESSAGES - LIMIT, `${paged} paged`)
    assert.equal((await ask(server, 'queue.list', { site: dead })).length, MESSAGES)
    const bindings = await Promise.all(ids.filter((_, n) => n % 50 === 0).map(async (id) => (await explanation(server, id)).binding?.limit))
    assert.ok(bindings.includes('residentEntries'), bindings.join(' '))

    assert.equal((await server.command('queue', 'hold', '--site', dead)).code, 0)
    await eventually(MS_MAX, 'all are held', async () => (await total())?.held === MESSAGES || undefined)
    assert.equal((await server.command('queue', 'release', '--site', dead)).code, 0)
    for (const thread of ['scheduler', 'net.1', 'deliver.1']) await ask(server, 'debug.throw', { thread })
    await server.kill()
  }
  await using server = await startServer(config, folder.path)
  await handIn(server, { to: 'a@live.test' })
  await live.received(2)
  await using back = await SmtpSink.start({ port: deadPort })
  await back.received(MESSAGES, MS_MAX)
  await eventually(MS_MAX, 'the queue is empty', async () => (await ask(server, 'queue.list')).length === 0 || undefined)
  assert.equal(back.messages.length, MESSAGES, 'each arrived once')
})
