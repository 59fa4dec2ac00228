import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { hashPassword, verifyPassword } from '../../../src/session/auth/password-hash.ts'
import type { Credentials, PasswordVerdict } from '../../../src/session/auth/ports.ts'
import { makePasswordPool, type PasswordPool } from '../../../src/threads/password-pool.ts'

const CHEAP = hashPassword('pencil', { memory: 64, passes: 1, lanes: 1 })
const SLOW = hashPassword('pencil')

const verify = (pool: PasswordPool, phc: string, password: string): Promise<PasswordVerdict> =>
  new Promise((resolve) => pool.verify(phc, password, resolve))

test('passwords are verified and derived in a worker, whose Buffers arrive as Buffers', async (t) => {
  const pool = makePasswordPool()
  t.after(() => pool.close())
  assert.equal(await verify(pool, CHEAP, 'pencil'), 'right')
  assert.equal(await verify(pool, CHEAP, 'eraser'), 'wrong')
  const credentials = await new Promise<Credentials | 'busy' | 'failed'>((resolve) => pool.derive('pencil', resolve))
  assert.ok(typeof credentials === 'object')
  assert.ok(Buffer.isBuffer(credentials.scram.sha256.storedKey))
  assert.equal(verifyPassword(credentials.argon2id, 'pencil'), true)
})

test('a full queue answers busy at once, and has room again when it drains', async (t) => {
  const pool = makePasswordPool({ tasksMax: 3 })
  t.after(() => pool.close())
  const verdicts = Array.from({ length: 5 }, () => verify(pool, SLOW, 'pencil'))
  assert.deepEqual(await Promise.all(verdicts.slice(3)), ['busy', 'busy'])
  assert.deepEqual(await Promise.all(verdicts), ['right', 'right', 'right', 'busy', 'busy'])
  assert.equal(await verify(pool, CHEAP, 'pencil'), 'right')
})

test('a stored hash that is none fails its own question only', async (t) => {
  const problems: string[] = []
  const pool = makePasswordPool({ report: (problem) => problems.push(problem) })
  t.after(() => pool.close())
  assert.deepEqual(await Promise.all([verify(pool, 'garbage', 'pencil'), verify(pool, CHEAP, 'pencil')]), ['failed', 'right'])
  assert.match(problems[0] ?? '', /PHC/)
})

test('what waits when the pool is closed is answered', async () => {
  const pool = makePasswordPool()
  const verdicts = Array.from({ length: 4 }, () => verify(pool, SLOW, 'pencil'))
  await pool.close()
  for (const verdict of await Promise.all(verdicts)) assert.ok(verdict === 'right' || verdict === 'failed')
})

test(
  'the worker runs at a lower priority than the threads that have sessions',
  { skip: process.platform === 'linux' ? false : 'threads have nice values of their own on Linux only' },
  async (t) => {
    const niceValues = (): number[] =>
      readdirSync('/proc/self/task').map((id) => {
        const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
      })
    const usual = niceValues()
    const pool = makePasswordPool()
    t.after(() => pool.close())
    assert.equal(await verify(pool, CHEAP, 'pencil'), 'right')
    const [highest = 0, ...others] = niceValues().sort((a, b) => b - a)
    assert.equal(highest, Math.min(19, Math.max(...usual) + 5))
    assert.ok(others.includes(Math.min(...usual)), 'the others keep theirs')
  },
)
