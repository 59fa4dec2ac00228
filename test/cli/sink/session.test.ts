import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Script } from '../../../src/cli/sink/script.ts'
import type { ScriptedReply, Stage } from '../../../src/cli/sink/script.ts'
import { SinkSession } from '../../../src/cli/sink/session.ts'
import type { SinkSettings, SunkMessage } from '../../../src/cli/sink/session.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { runSeed } from '../../support/seed.ts'

interface Turn {
  readonly input: string
  /** Replies and, marked by `= `, what is received. */
  readonly output: string
}

interface Dialogue {
  readonly title: string
  readonly settings: SinkSettings
  readonly turns: Turn[]
}

interface Options {
  readonly lmtp?: boolean
  readonly stage?: Stage
  readonly reply?: ScriptedReply
  readonly seed?: number
  readonly delay?: number
  readonly without?: string[]
}

function settings(options: Options): SinkSettings {
  const { lmtp = false, stage = 'dot', reply, seed = 1, delay = 0, without = [] } = options
  return { lmtp, starttls: false, keepsHead: true, without: new Set(without), script: new Script(stage, reply ? [reply] : [], delay, seed) }
}

function read(file: string): Dialogue[] {
  const dialogues: Dialogue[] = []
  let before = ''
  for (const line of readFileSync(join(import.meta.dirname, file), 'utf8').split('\n')) {
    const text = line.slice(2)
    const dialogue = dialogues.at(-1)
    if (line.startsWith('== ')) {
      const [, title = '', options = '{}'] = /^== ([^{]*)(\{.*\})?$/.exec(line) ?? []
      dialogues.push({ title: title.trim(), settings: settings(JSON.parse(options) as Options), turns: [] })
    } else if (dialogue && line.startsWith('> ')) {
      const turn = before === '>' ? dialogue.turns.pop() : undefined
      dialogue.turns.push({ input: `${turn?.input ?? ''}${text}\r\n`, output: '' })
    } else if (dialogue && (line.startsWith('< ') || line.startsWith('= '))) {
      const turn = dialogue.turns.pop() as Turn
      dialogue.turns.push({ input: turn.input, output: `${turn.output}${line.startsWith('=') ? '= ' : ''}${text}\r\n` })
    }
    before = line.slice(0, 1)
  }
  return dialogues
}

/** A session whose output and messages are kept in order. Leftovers of a chunk stay at its front. */
class Twin {
  readonly session: SinkSession
  replies = ''
  messages = ''
  refused = 0
  closed = false
  pending: (() => void) | undefined
  #rest: Buffer = Buffer.alloc(0)

  constructor(from: SinkSettings) {
    this.session = new SinkSession(
      {
        write: (text) => (this.replies += text),
        close: () => (this.closed = true),
        startTls: () => undefined,
        delay: (_, fn) => (this.pending = fn),
        received: (message) => (this.messages += `= ${messageText(message)}\r\n`),
        refused: () => this.refused++,
      },
      from,
      false,
    )
  }

  feed(bytes: Buffer): void {
    const all = Buffer.concat([this.#rest, bytes])
    this.#rest = all.subarray(this.session.ingest(all, 0, all.length))
  }

  /** The delayed answer goes out, and what waited behind it is read. */
  elapse(): void {
    const fn = this.pending
    this.pending = undefined
    fn?.()
    this.feed(Buffer.alloc(0))
  }

  take(): string {
    const text = this.replies + this.messages
    this.replies = ''
    this.messages = ''
    return text
  }
}

function messageText({ from, mailParameters, to, bytes }: SunkMessage): string {
  const recipients = to.map(({ address, parameters }) => `${address} [${parameters}]`).join(', ')
  return `${from} [${mailParameters}] to ${recipients} ${bytes} bytes`
}

for (const dialogue of read('dialogue.txt')) {
  test(`sink: ${dialogue.title}`, () => {
    const twin = new Twin(dialogue.settings)
    for (const { input, output } of dialogue.turns) {
      twin.feed(Buffer.from(input))
      assert.equal(twin.take(), output)
    }
  })
}

test('every dialogue is the same byte by byte and at random splits', () => {
  const random = new Prng(runSeed())
  for (const step of [() => 1, () => 1 + random.below(7)]) {
    for (const { title, settings: from, turns } of read('dialogue.txt')) {
      const twin = new Twin(from)
      for (const { input, output } of turns) {
        const bytes = Buffer.from(input)
        for (let at = 0; at < bytes.length;) {
          const next = at + step()
          twin.feed(bytes.subarray(at, next))
          at = next
        }
        assert.equal(twin.take(), output, title)
      }
    }
  }
})

test('while an answer is delayed nothing behind it is answered, and the order stays', () => {
  const twin = new Twin(settings({ stage: 'rcpt', delay: 50 }))
  twin.feed(Buffer.from('MAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nNOOP\r\n'))
  assert.equal(twin.take(), '250 2.0.0 Ok\r\n')
  twin.elapse()
  assert.equal(twin.take(), '250 2.0.0 Ok\r\n')
  twin.elapse()
  assert.equal(twin.take(), '250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n')
})

test('a message is received when it is answered, not before', () => {
  const twin = new Twin(settings({ stage: 'dot', delay: 50 }))
  twin.feed(Buffer.from('MAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n.\r\n'))
  assert.doesNotMatch(twin.take(), /=/)
  twin.elapse()
  assert.equal(twin.take(), '250 2.0.0 Ok\r\n=  [] to a@x [] 0 bytes\r\n')
})

test('a line without an end is refused, not kept', () => {
  const twin = new Twin(settings({}))
  twin.feed(Buffer.alloc(9000, 'x'))
  assert.deepEqual([twin.take(), twin.closed], ['500 5.5.2 Line too long\r\n', true])
})
