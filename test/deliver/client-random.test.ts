// The client against peers that answer anything at any time: whatever happens, nothing that was granted is lost or told
// twice, and the end is told once.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { runSeed } from '../support/seed.ts'
import { atRandom, Harness } from './support/dialogue.ts'
import type { TestMessage } from './support/spool.ts'

const RUNS = 1500
const STEPS = 120

const CAPABILITIES = [
  'PIPELINING',
  'CHUNKING',
  'BINARYMIME',
  '8BITMIME',
  'DSN',
  'SMTPUTF8',
  'SIZE 40',
  'LIMITS RCPTMAX=2 MAILMAX=4',
  'DELIVERBY',
]
const FLAGS = ['dots', 'eightBit', 'binary', 'noFinalCrlf', 'smtputf8', 'deliverByReturn'] as const
const CODES = [250, 250, 250, 250, 250, 354, 354, 550, 451, 452, 552, 421, 220]

function pick<T>(random: Prng, values: readonly T[]): T {
  return values[random.below(values.length)] as T
}

function someMessage(random: Prng, id: number): TestMessage {
  const groups = Array.from({ length: 1 + random.below(3) }, (_, group) =>
    Array.from({ length: 1 + random.below(3) }, (__, i) =>
      random.below(20) === 0 ? `ü${i}@g${group}.example` : `r${i}@g${group}.example`,
    ),
  )
  return {
    id,
    groups,
    flags: FLAGS.filter(() => random.below(6) === 0),
    large: random.below(4) === 0,
    body: random.below(6) === 0 ? '' : `Subject: ${id}\r\n\r\n${'x'.repeat(random.below(40))}\r\n`,
    envelope: { deliverBy: random.below(8) === 0 ? 1_700_000_060_000 : 0 },
  }
}

function line(random: Prng, code: number): string {
  const enhanced = random.below(3) === 0 ? `${Math.floor(code / 100)}.5.3 ` : ''
  return random.below(8) === 0 ? `${code}-more\r\n${code} ${enhanced}text\r\n` : `${code} ${enhanced}text\r\n`
}

class Run {
  readonly #random: Prng
  readonly #harness: Harness
  readonly #granted = new Set<string>()
  readonly #told = new Set<string>()
  #next = 1
  #ends = 0
  #protocol: 'smtp' | 'lmtp'

  constructor(seed: number) {
    this.#random = new Prng(seed)
    this.#protocol = this.#random.below(4) === 0 ? 'lmtp' : 'smtp'
    this.#harness = new Harness({
      tls: 'off',
      protocol: this.#protocol,
      recipientsMost: 1 + this.#random.below(4),
      messagesMost: 1 + this.#random.below(8),
    })
  }

  play(): void {
    const { client } = this.#harness
    client.start(this.#harness.now)
    this.#say('220 mx\r\n')
    const offered = CAPABILITIES.filter(() => this.#random.below(3) > 0)
    this.#say(`${offered.map((keyword) => `250-${keyword}\r\n`).join('')}250 mx\r\n`.replace(/^/, '250-mx\r\n'))
    for (let step = 0; step < STEPS && this.#ends === 0; step++) this.#step()
    if (this.#ends === 0) {
      client.onEnd('', this.#harness.now)
      this.#listen()
    }
    assert.equal(this.#ends, 1, 'the end is told once')
    assert.equal(client.deadline, Infinity)
    assert.deepEqual([...this.#told].toSorted(), [...this.#granted].toSorted(), 'what was granted is told')
    const held: { id: number; group: number }[] = []
    client.held(held)
    assert.deepEqual(held, [])
  }

  #step(): void {
    const random = this.#random
    const harness = this.#harness
    const dice = random.below(100)
    if (dice < 60) this.#reply()
    else if (dice < 75) this.#grant()
    else if (dice < 85 && harness.wantsPiece) harness.piece(1 + random.below(30))
    else if (dice < 87 && harness.wantsPiece) harness.pieceError('EIO')
    else if (dice < 90) harness.full()
    else if (dice < 96) harness.drain()
    else if (dice < 97) harness.wait(random.below(700_000))
    else if (dice < 98 && random.below(8) === 0) harness.client.close(harness.now)
    else if (dice === 98 && random.below(8) === 0) this.#say('nonsense\r\n')
    this.#listen()
    this.#checkHeld()
  }

  /** Mostly what fits, so that the dialogue goes on; seldom a reply that nobody asked for. */
  #reply(): void {
    const { stage } = this.#harness.client
    const random = this.#random
    if ((stage === 'idle' || stage === 'body') && random.below(40) > 0) return
    const usual = stage === 'data' ? 354 : 250
    this.#say(line(random, random.below(8) > 0 ? usual : pick(random, CODES)))
  }

  #grant(): void {
    const messages = Array.from({ length: 1 + this.#random.below(3) }, () => someMessage(this.#random, this.#next++))
    const items = messages.map((message) => {
      this.#harness.reader.add(message)
      const groups = message.groups.map((_, group) => group)
      if (this.#random.below(10) === 0) this.#harness.reader.removeGroup(message.id, 0)
      for (const group of groups) this.#granted.add(`${message.id}/${group}`)
      return `${message.id}/${groups.join(',')}`
    })
    this.#harness.grant(...items)
  }

  #say(text: string): void {
    this.#harness.send(text, atRandom(this.#random.u32()))
    this.#listen()
  }

  #listen(): void {
    this.#harness.said()
    for (const report of this.#harness.reports()) {
      if (report.startsWith('ended ')) this.#ends++
      const match = /^(?:settled|returned) (\d+)\/([\d,]+)/.exec(report)
      for (const group of match ? (match[2] as string).split(',') : []) this.#tell(`${match?.[1]}/${group}`)
    }
  }

  #tell(key: string): void {
    assert(this.#granted.has(key), `${key} was never granted`)
    assert(!this.#told.has(key), `${key} is told twice`)
    assert.equal(this.#ends, 0, 'nothing is told after the end')
    this.#told.add(key)
  }

  #checkHeld(): void {
    const held: { id: number; group: number }[] = []
    this.#harness.client.held(held)
    const keys = held.map(({ id, group }) => `${id}/${group}`)
    assert.deepEqual(keys.toSorted(), [...this.#granted].filter((key) => !this.#told.has(key)).toSorted(), 'held is what was not told')
  }
}

test('whatever a peer says, each grant is settled or returned exactly once', () => {
  for (let i = 0; i < RUNS; i++) {
    const seed = (runSeed() + i) >>> 0
    try {
      new Run(seed).play()
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})
