import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ControlError, ControlServer, type Verb } from '../../src/admin/control.ts'
import { makeLog } from '../../src/lib/log.ts'

const silent = makeLog('test', { level: 'fatal' })

async function open(t: TestContext, verbs: Record<string, Verb>): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'rohrpost-control-'))
  const path = join(dir, 'control.sock')
  const server = new ControlServer(path, new Map(Object.entries(verbs)), silent)
  await server.open()
  t.after(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })
  return path
}

async function ask(path: string, request: string): Promise<unknown[]> {
  const socket = connect(path)
  socket.write(request)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(socket, 'close')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)
}

test('rows come before the end, and arguments arrive', async (t) => {
  const path = await open(t, {
    count: (args, caller) => {
      for (let i = 0; i < (args['n'] as number); i++) caller.row(i)
      return Promise.resolve(0)
    },
  })
  assert.deepEqual(await ask(path, '{"verb":"count","args":{"n":3}}\n'), [{ row: 0 }, { row: 1 }, { row: 2 }, { end: { code: 0 } }])
})

test('the socket is for its owner only', async (t) => {
  const path = await open(t, {})
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

for (const [request, code, text] of [
  ['{"verb":"nope"}\n', 2, 'no such verb: nope'],
  ['nonsense\n', 2, 'the request is not JSON'],
  ['{"args":{}}\n', 2, 'the request has no verb'],
  ['null\n', 2, 'the request has no verb'],
  ['{"verb":"known"}\n', 69, 'not now'],
  ['{"verb":"broken"}\n', 1, 'a bug'],
] as const) {
  test(`${request.trim()} is answered by an error with code ${code}`, async (t) => {
    const path = await open(t, {
      known: () => Promise.reject(new ControlError(69, 'not now')),
      broken: () => Promise.reject(new Error('a bug')),
    })
    assert.deepEqual(await ask(path, request), [{ error: { code, text } }])
  })
}

test('a stream ends when its caller goes away', async (t) => {
  const gone = Promise.withResolvers<void>()
  const path = await open(t, {
    follow: async (_args, caller) => {
      caller.row('first')
      caller.onGone(gone.resolve)
      await gone.promise
      return 0
    },
  })
  const socket = connect(path)
  socket.write('{"verb":"follow"}\n')
  await once(socket, 'data')
  socket.destroy()
  await gone.promise
})
