import assert from 'node:assert/strict'
import { readdirSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { execute, TempFolder } from '../support/process.ts'

const PROGRAM = join(import.meta.dirname, '../../src/rohrpost.js')

/** Code that runs before the program. */
const before = (code: string): string => `--import=data:text/javascript,${encodeURIComponent(code)}`
const pretend = (node: string): string =>
  before(`Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}' } })`)

test('the program runs', async () => {
  const ended = await execute([process.execPath, PROGRAM, '--version'])
  assert.equal(ended.code, 0)
  assert.match(ended.stdout, /^\d+\.\d+\.\d+\n$/)
  assert.equal(ended.stderr, '')
})

test('a Node that is too old is told so in one line, with 2', async () => {
  for (const node of ['20.20.2', '24.6.9']) {
    const ended = await execute([process.execPath, pretend(node), PROGRAM, '--version'])
    assert.deepEqual([ended.code, ended.stdout], [2, ''])
    assert.equal(ended.stderr, `rohrpost needs Node.js 24.7 or newer; this is ${node} (${process.execPath})\n`)
  }
  for (const node of ['24.7.0', '25.0.0']) assert.equal((await execute([process.execPath, pretend(node), PROGRAM, '--version'])).code, 0)
})

const COUNT_POOL = `
  process.on('exit', () => undefined)
  const { exit } = process
  process.exit = () => {
    const { pbkdf2 } = process.getBuiltinModule('node:crypto')
    const { readdirSync, readFileSync } = process.getBuiltinModule('node:fs')
    // A thread of V8's may end between the listing and its name.
    const nameOf = (task) => {
      try {
        return readFileSync('/proc/self/task/' + task + '/comm', 'latin1')
      } catch (error) {
        if (error.code === 'ENOENT' || error.code === 'ESRCH') return ''
        throw error
      }
    }
    pbkdf2('a', 'b', 1, 32, 'sha256', () => {
      const names = readdirSync('/proc/self/task').map(nameOf)
      process.stderr.write(String(names.filter((name) => name.startsWith('libuv-worker')).length))
      exit(0)
    })
  }`

test('libuv gets a pool of 24 threads, or as many as the environment says', { skip: !existsSync('/proc/self/task') }, async () => {
  const pool = async (env: Record<string, string>): Promise<string> => {
    return (await execute([process.execPath, before(COUNT_POOL), PROGRAM, '--version'], { env })).stderr
  }
  assert.equal(await pool({ UV_THREADPOOL_SIZE: '' }), '24')
  assert.equal(await pool({ UV_THREADPOOL_SIZE: '7' }), '7')
})

test('compiled code is kept under the cache directory of the user', async () => {
  using folder = new TempFolder('cache')
  await execute([process.execPath, PROGRAM, '--version'], { env: { XDG_CACHE_HOME: folder.path } })
  assert.deepEqual(readdirSync(folder.path), ['rohrpost'])
})

test('a cache that cannot be made is done without', async () => {
  const ended = await execute([process.execPath, PROGRAM, '--version'], { env: { XDG_CACHE_HOME: '/dev/null/x' } })
  assert.deepEqual([ended.code, ended.stderr], [0, ''])
})

test('a reader that goes away ends the program quietly', async () => {
  const ended = await execute(['sh', '-c', `"${process.execPath}" "${PROGRAM}" help | true`])
  assert.deepEqual([ended.code, ended.stderr], [0, ''])
})

test('a configuration with mistakes ends start with 78', async () => {
  const ended = await execute([process.execPath, PROGRAM, 'start', '--config', '/none.json'])
  assert.deepEqual(ended, { code: 78, stdout: '', stderr: '/none.json: there is no such file\n' })
})
