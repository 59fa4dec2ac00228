// The client against scripted peers: every dialogue file, whole, byte by byte and at random splits.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { atRandom, byByte, Harness, play, readDialogues, whole } from './support/dialogue.ts'

const SEEDS = [1, 2, 3, 4, 5]

suite('client dialogues', () => {
  for (const dialogue of readDialogues(join(import.meta.dirname, '../dialogue/client'))) {
    test(dialogue.name, () => {
      play(dialogue, whole)
      play(dialogue, byByte)
      for (const seed of SEEDS) play(dialogue, atRandom(seed))
    })
  }
})

/** Replies without end, each with the text that the connection ends with. */
const ENDLESS: readonly (readonly [name: string, text: string, reason: RegExp])[] = [
  ['a line without end', `220-${'x'.repeat(5000)}`, /^the server answered with garbage: reply line too long: 220-x+$/],
  ['a long line', `220 ${'x'.repeat(5000)}\r\n`, /^the server answered with garbage: reply line too long: 220 x+$/],
  ['lines without end', '220-x\r\n'.repeat(500), /^the server answered with garbage: reply has too many lines: 220-x$/],
  ['bytes of no meaning', '\0\xff\x80'.repeat(2000), /^the server answered with garbage: reply line too long: \?+$/],
]

suite('replies without end', () => {
  for (const [name, text, reason] of ENDLESS) {
    for (const [how, split] of [
      ['whole', whole],
      ['byte by byte', byByte],
      ['at random splits', atRandom(1)],
    ] as const) {
      test(`${name}, ${how}`, () => {
        const harness = new Harness()
        harness.client.start(harness.now)
        harness.send(text, split)
        const [hangup, ended] = harness.reports()
        assert.equal(hangup, 'hangup')
        const [head, why] = (ended as string).split(' 4.5.0 ')
        assert.equal(head, 'ended throttled at banner after 0: 0')
        assert.match(why as string, reason)
      })
    }
  }
})

test('a session that has ended says and hears nothing more', () => {
  const harness = new Harness({}, [{ id: 1, groups: [['b@example.net']] }])
  harness.client.start(harness.now)
  harness.client.onEnd('', harness.now)
  harness.reports()
  harness.send('220 mx\r\n')
  harness.client.onTls({ protocol: 'TLSv1.3', certificateError: '' }, harness.now)
  harness.drain()
  harness.client.close(harness.now)
  harness.client.onEnd('', harness.now)
  harness.wait(1_000_000)
  harness.grant('1')
  assert.equal(harness.said(), '')
  assert.deepEqual(harness.reports(), ['returned 1/0 unused'])
})
