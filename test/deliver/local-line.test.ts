// Routes that end here: discard and capture.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { grantOf, makeCore, outcomes, siteOf } from './support/core.ts'
import { SMALL_BODY } from './support/spool.ts'

function tempDir(t: { after: (fn: () => void) => void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'capture-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

test('discard takes everything at once and asks for more', async () => {
  const { core, host, clock } = makeCore([
    { id: 1, sender: 'jörg@example.org', flags: ['smtputf8', 'binary', 'eightBit'], groups: [['b@example.net', 'c@example.net']] },
    { id: 2, groups: [['d@example.net']] },
  ])
  core.open(1, siteOf({ kind: 'discard' }), 'default')
  assert.equal(host.pulls.get(1), 1)
  core.grant(1, grantOf(clock, 1, 2))
  const [first, second] = await host.settled(2)
  assert.deepEqual(outcomes(first), ['delivered 0 2.0.0 discarded', 'delivered 0 2.0.0 discarded'])
  assert.deepEqual(outcomes(second), ['delivered 0 2.0.0 discarded'])
  assert.equal(host.pulls.get(1), 2)
  core.close(1)
  assert.deepEqual([host.downs.get(1)?.kind, host.downs.get(1)?.messages], ['closed', 2])
})

test('discard drops nothing that was granted too late or is gone', async () => {
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  core.open(1, siteOf({ kind: 'discard' }), 'default')
  core.grant(1, [...grantOf(clock, 9), { id: 1, groups: [0], attempt: 1, notAfter: clock.now() - 1 }])
  assert.deepEqual(
    host.returns.map(({ item, reason }) => [item.id, reason]),
    [
      [9, 'error'],
      [1, 'unused'],
    ],
  )
  core.abort()
})

test('capture writes a Maildir: one file a message, with its envelope', async (t) => {
  const dir = join(tempDir(t), 'box')
  const large = `Subject: large\r\n\r\n${'0123456789abcde\r\n'.repeat(20_000)}`
  const { core, host, reader, clock } = makeCore([
    { id: 1, groups: [['b@example.net', 'c@example.net']] },
    { id: 2, sender: '', groups: [['d@example.net']], body: large, large: true },
  ])
  core.open(1, siteOf({ kind: 'capture', dir }), 'default')
  core.grant(1, grantOf(clock, 1, 2))
  const [first] = await host.settled(2)
  assert.deepEqual(outcomes(first), ['delivered 0 2.0.0 captured', 'delivered 0 2.0.0 captured'])
  const files = readdirSync(join(dir, 'new')).toSorted()
  assert.deepEqual(files, ['1700000000.00000000001_0_1.relay.example.org', '1700000000.00000000002_0_1.relay.example.org'])
  const [one, two] = files.map((file) => readFileSync(join(dir, 'new', file), 'latin1'))
  assert.equal(one, `Return-Path: <a@example.org>\r\nDelivered-To: b@example.net\r\nDelivered-To: c@example.net\r\n${SMALL_BODY}`)
  assert.equal(two, `Return-Path: <>\r\nDelivered-To: d@example.net\r\n${large}`)
  assert.deepEqual(readdirSync(join(dir, 'tmp')), [])
  assert.equal(reader.openStreams, 0)
  core.close(1)
  assert.equal(core.connections, 0)
})

test('a Maildir that cannot be written defers', async (t) => {
  const dir = join(tempDir(t), 'file')
  writeFileSync(dir, 'in the way')
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  core.open(1, siteOf({ kind: 'capture', dir }), 'default')
  core.grant(1, grantOf(clock, 1))
  const [first] = await host.settled(1)
  assert.match(outcomes(first)[0] ?? '', /^deferred 0 4\.3\.0 cannot write to the Maildir: E/)
  core.abort()
})

test('closing a capture waits for the file that is being written', async (t) => {
  const dir = join(tempDir(t), 'box')
  const { core, host, clock } = makeCore([
    { id: 1, groups: [['b@example.net']] },
    { id: 2, groups: [['b@example.net']] },
  ])
  core.open(1, siteOf({ kind: 'capture', dir }), 'default')
  core.grant(1, grantOf(clock, 1, 2))
  core.close(1)
  assert.equal(host.downs.has(1), false)
  await host.down(1)
  assert.deepEqual(
    host.settlements.map(({ id }) => id),
    [1],
  )
  assert.deepEqual(
    host.returns.map(({ item }) => item.id),
    [2],
  )
  assert.equal(readdirSync(join(dir, 'new')).length, 1)
})

test('a changed directory ends a capture', () => {
  const { core, host } = makeCore()
  core.open(1, siteOf({ kind: 'capture', dir: '/a' }), 'default')
  core.routeChanged(siteOf({ kind: 'capture', dir: '/a' }))
  assert.equal(host.downs.has(1), false)
  core.routeChanged(siteOf({ kind: 'capture', dir: '/b' }))
  assert.equal(host.downs.has(1), true)
})
