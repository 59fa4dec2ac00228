import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { Prng } from '../../../src/lib/prng.ts'
import { runSeed } from '../../support/seed.ts'
import { cut } from '../../wire/smtp/splits.ts'
import { loadDialogue, play, updateDialogue } from './dialogue.ts'

const FOLDER = join(import.meta.dirname, '../../dialogue/smtp')
const FILES = globSync('*.txt', { cwd: FOLDER }).toSorted()
const RANDOM_ROUNDS = 10

test('there are dialogues', () => assert.ok(FILES.length > 0))

for (const name of FILES) {
  test(`dialogue ${basename(name, '.txt')}`, () => {
    const file = join(FOLDER, name)
    const { text, dialogue } = loadDialogue(file)
    const wanted = process.env['UPDATE_GOLDEN'] === '1' ? updateDialogue(file, dialogue) : text
    assert.equal(
      play(dialogue, (bytes) => cut(bytes, [])),
      wanted,
      'whole',
    )
    const bytewise = play(dialogue, (bytes) =>
      cut(
        bytes,
        Array.from(bytes, (_, i) => i),
      ),
    )
    assert.equal(bytewise, wanted, 'byte by byte')
    const random = new Prng(runSeed())
    for (let round = 0; round < RANDOM_ROUNDS; round++) {
      const split = play(dialogue, (bytes) => {
        const points = Array.from({ length: 3 }, () => random.below(bytes.length + 1))
        return cut(
          bytes,
          points.toSorted((a, b) => a - b),
        )
      })
      assert.equal(split, wanted, `random splits, round ${round}`)
    }
  })
}
