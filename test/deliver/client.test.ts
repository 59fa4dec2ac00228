// The client against scripted peers: every dialogue file, whole, byte by byte and at random splits.

import { join } from 'node:path'
import { suite, test } from 'node:test'
import { atRandom, byByte, play, readDialogues, whole } from './support/dialogue.ts'

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
