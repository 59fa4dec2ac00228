// Banned calls. Every rule has a canary: a line that it must find.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bannedCalls, RULES } from './banned.ts'
import { load, parse, report } from './source.ts'

const CANARIES: readonly (readonly [path: string, text: string, what: string])[] = [
  ['src/wire/smtp/a.ts', 'export const x = Buffer.concat([])', 'Buffer.concat'],
  ['src/deliver/a.ts', 'export const f = Buffer["concat"]', 'Buffer.concat'],
  ['src/session/a.ts', 'export const f = (b: Buffer): string => b.toString("latin1")', 'toString'],
  ['src/session/a.ts', 'export const f = (b?: Buffer): string => b?.toString() ?? ""', 'toString'],
  ['src/spool/shard.ts', 'export const f = (db: Db): Buffer => db.getBinaryFast(1)', 'getBinaryFast'],
  ['src/queue/a.ts', 'export const now = Date.now', 'Date.now'],
  ['src/queue/a.ts', 'export const now = new Date()', 'the present as a Date'],
  ['src/queue/a.ts', 'export const t = performance.now()', 'performance.now'],
  ['src/queue/a.ts', 'export const t = process.hrtime.bigint()', 'process.hrtime'],
  ['src/queue/a.ts', 'export const r = Math.random()', 'Math.random'],
  ['src/net/a.ts', 'setTimeout(() => {}, 1)', 'setTimeout'],
  ['src/net/a.ts', 'globalThis.setTimeout(() => {}, 1)', 'setTimeout'],
  ['src/net/a.ts', 'const timers = { setInterval }', 'setInterval'],
  ['src/net/a.ts', 'setImmediate(f)', 'setImmediate'],
  ['src/net/a.ts', "import { setTimeout as sleep } from 'node:timers/promises'", 'node:timers/promises'],
  ['src/net/a.ts', "import timers from 'node:timers'", 'node:timers'],
  ['src/lib/a.ts', 'console.log(1)', 'console'],
  ['src/lib/a.ts', 'process.nextTick(f)', 'process.nextTick'],
]

const INNOCENT: readonly (readonly [path: string, text: string])[] = [
  ['src/wire/smtp/a.ts', '// Buffer.concat(x).toString()\nexport const text = "Math.random() console.log(1)"'],
  ['src/wire/smtp/a.ts', 'export const text = `setTimeout(${1})`'],
  ['src/lib/clock.ts', 'export const now = (): number => Date.now() + performance.now()'],
  ['src/queue/a.ts', 'export const date = (ms: number): string => new Date(ms).toISOString()'],
  ['src/queue/a.ts', 'export const host = { setTimeout: 1, console: 2 }; export const x = host.setTimeout + host.console'],
  ['src/queue/a.ts', 'export interface Port { setTimeout(ms: number): void; console: string }'],
  ['src/spool/reader.ts', 'export const f = (db: Db): Buffer => db.getBinaryFast(1)'],
]

test('each rule finds its canary', () => {
  for (const [path, text, what] of CANARIES) {
    assert.ok(
      bannedCalls(parse(path, text)).some(({ message }) => message.startsWith(`${what} is banned`)),
      `${what} not found in: ${text}`,
    )
  }
  for (const rule of RULES) {
    assert.ok(
      CANARIES.some(([, , what]) => what === rule.what),
      `no canary for ${rule.what}`,
    )
  }
})

test('comments, strings, property names and calls in their right place are no findings', () => {
  for (const [path, text] of INNOCENT) assert.deepEqual(bannedCalls(parse(path, text)), [], text)
})

test('src holds no banned call', (t) => {
  const sources = load('src/**/*.{ts,js}')
  assert.ok(sources.length > 0, 'no source was read')
  t.diagnostic(`${sources.length} files, ${RULES.length} rules`)
  const found = sources.flatMap(bannedCalls)
  assert.equal(found.length, 0, report(found))
})
