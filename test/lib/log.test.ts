import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import { makeLog, RepeatedWarnings } from '../../src/lib/log.ts'
import type { Log } from '../../src/lib/log.ts'
import { execute } from '../support/process.ts'

interface Line {
  readonly level: number
  readonly name: string
  readonly msg: string
  readonly suppressed?: number
  readonly client?: string
  readonly time: string
}

function recorded(level = 'info'): { log: Log; lines: Line[] } {
  const lines: Line[] = []
  return { log: makeLog('net.1', { level }, { write: (text) => lines.push(JSON.parse(text) as Line) }), lines }
}

test('a line is JSON with the name of its thread, and lower levels are left out', () => {
  const { log, lines } = recorded('warn')
  log.info('not this')
  log.warn({ client: '192.0.2.1' }, 'this')
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.name, 'net.1')
  assert.equal(lines[0]?.msg, 'this')
  assert.equal(lines[0]?.client, '192.0.2.1')
  assert.equal(new Date(lines[0]?.time ?? '').toISOString(), lines[0]?.time)
})

test('a child adds its fields', () => {
  const { log, lines } = recorded()
  log.child({ client: '::1' }).error('failed')
  assert.equal(lines[0]?.client, '::1')
})

test('lines are on standard error before a crash, and none on standard output', async () => {
  const script = `
    import { makeLog } from ${JSON.stringify(new URL('../../src/lib/log.ts', import.meta.url).href)}
    makeLog('main', { level: 'info' }).warn('the last words')
    process.kill(process.pid, 'SIGKILL')`
  const ended = await execute([process.execPath, '--input-type=module', '-e', script])
  assert.equal(ended.stdout, '')
  assert.equal((JSON.parse(ended.stderr) as Line).msg, 'the last words')
})

test('a repeated warning is written once an interval, with how many were left out', () => {
  const { log, lines } = recorded()
  const clock = new ManualClock()
  const warnings = new RepeatedWarnings(log, clock, 1000)
  for (let i = 0; i < 10; i++) warnings.warn('disk', {}, 'disk is slow')
  warnings.warn('dns', {}, 'DNS is slow')
  assert.deepEqual(
    lines.map(({ msg, suppressed }) => [msg, suppressed]),
    [
      ['disk is slow', undefined],
      ['DNS is slow', undefined],
    ],
  )
  clock.advance(1000)
  warnings.warn('disk', {}, 'disk is slow')
  clock.advance(1000)
  warnings.warn('disk', {}, 'disk is slow')
  assert.deepEqual(
    lines.slice(2).map(({ suppressed }) => suppressed),
    [9, undefined],
  )
})

test('hostile keys do not grow the memory, nor silence others', () => {
  const { log, lines } = recorded()
  const warnings = new RepeatedWarnings(log, new ManualClock())
  for (let i = 0; i < 5000; i++) warnings.warn(`client ${i}`, {}, 'odd')
  warnings.warn('client 0', {}, 'odd')
  assert.equal(lines.length, 5001)
  warnings.warn('client 4999', {}, 'odd')
  assert.equal(lines.length, 5001)
})
