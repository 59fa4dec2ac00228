// Plays a dialogue file against a client: the peer's lines in, the client's lines and reports compared.
//
// A file has a head of options and messages as JSON, a line `---`, and steps:
//   S: line      the peer says a line (consecutive ones arrive together)
//   S| text      … without CRLF
//   C: line      the client says exactly this line now; before the next `S:` it must have said no more
//   R: report    the client reports: up, pull N, settled …, returned …, tls, hangup, ended …
//   ! event      tls PROTOCOL [certificate error], end [cause], wait MS, grant ID[/GROUP,GROUP] …, close, piece BYTES,
//                piece-error CAUSE, full, drain
// `# ` begins a comment; a step's text may hold \r, \n, \t, \0 and \xHH.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { defaultLimits } from '../../../src/config/limits.ts'
import { SmtpClient } from '../../../src/deliver/client.ts'
import type { ClientHost, ClientOptions, SessionEnd, SessionInfo } from '../../../src/deliver/client.ts'
import { deliverLimits } from '../../../src/deliver/limits.ts'
import { Output } from '../../../src/deliver/output.ts'
import { PiecePool } from '../../../src/deliver/piece.ts'
import type { StoredMessage } from '../../../src/deliver/ports.ts'
import type { LineTrace } from '../../../src/deliver/writer.ts'
import { Prng } from '../../../src/lib/prng.ts'
import type { GrantItem, ReturnedItem, ReturnReason } from '../../../src/queue/ports.ts'
import type { Settlement } from '../../../src/spool/types.ts'
import { MemoryReader } from './spool.ts'
import type { TestMessage } from './spool.ts'

const START_MS = 1_700_000_000_000
const OUTCOMES = ['delivered', 'deferred', 'bounced']

export interface Step {
  readonly kind: string
  readonly text: string
  readonly line: number
}

export interface Dialogue {
  readonly name: string
  readonly options: Partial<ClientOptions>
  readonly messages: readonly TestMessage[]
  readonly steps: readonly Step[]
}

export function readDialogues(dir: string): Dialogue[] {
  const files = readdirSync(dir).filter((file) => file.endsWith('.txt'))
  return files.flatMap((file) => parseFile(file.slice(0, -4), readFileSync(join(dir, file), 'utf8')))
}

/** A file holds one dialogue, or several, each headed by `== name`. */
function parseFile(file: string, text: string): Dialogue[] {
  const lines = text.split('\n').map((line, i) => ({ text: line.replace(/\r$/, ''), number: i + 1 }))
  const dialogues: { name: string; lines: typeof lines }[] = []
  for (const line of lines) {
    if (line.text.startsWith('== ')) dialogues.push({ name: `${file}: ${line.text.slice(3)}`, lines: [] })
    else if (line.text !== '' && !line.text.startsWith('#')) dialogues.at(-1)?.lines.push(line)
  }
  return dialogues.map(({ name, lines: own }) => parseDialogue(name, own))
}

function parseDialogue(name: string, lines: readonly { text: string; number: number }[]): Dialogue {
  let options: Partial<ClientOptions> = {}
  const messages: TestMessage[] = []
  const steps: Step[] = []
  for (const { text, number } of lines) {
    if (text.startsWith('options ')) options = JSON.parse(text.slice(8)) as Partial<ClientOptions>
    else if (text.startsWith('message ')) messages.push(JSON.parse(text.slice(8)) as TestMessage)
    else steps.push(parseStep(text, number))
  }
  return { name, options, messages, steps }
}

function parseStep(line: string, number: number): Step {
  const match = /^(S:|S\||C:|R:|!) ?(.*)$/.exec(line)
  assert(match, `line ${number} is no step: ${line}`)
  return { kind: match[1] as string, text: unescaped(match[2] as string), line: number }
}

function unescaped(text: string): string {
  return text.replace(/\\(r|n|t|0|x[0-9a-f]{2}|\\)/g, (_, code: string) => {
    const known: Record<string, string> = { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' }
    return known[code] ?? String.fromCharCode(parseInt(code.slice(1), 16))
  })
}

/** How the peer's bytes arrive: `split` gives the end of the next piece. */
export type Split = (start: number, end: number) => number

export const whole: Split = (_, end) => end
export const byByte: Split = (start) => start + 1

export function atRandom(seed: number): Split {
  const random = new Prng(seed)
  return (start, end) => Math.min(end, start + 1 + random.below(12))
}

/** A client with a peer, a spool and reports in memory. */
export class Harness implements ClientHost {
  readonly reader: MemoryReader = new MemoryReader()
  readonly client: SmtpClient
  readonly settlements: Settlement[] = []
  readonly trace: string[] = []
  readonly pieces: PiecePool = new PiecePool()
  #written = Buffer.alloc(0)
  #reports: string[] = []
  #reads: { ticket: number; message: StoredMessage; offset: number }[] = []
  #full = false
  #ended = false
  now: number = START_MS

  constructor(options: Partial<ClientOptions> = {}, messages: readonly TestMessage[] = []) {
    for (const message of messages) this.reader.add(message)
    const trace: LineTrace = {
      active: true,
      line: (direction, text) => void this.trace.push(`${direction} ${text}`),
      message: (text) => void this.trace.push(`note ${text}`),
    }
    this.client = new SmtpClient(
      {
        protocol: 'smtp',
        hello: 'relay.example.org',
        tls: 'opportunistic',
        tlsFallback: '',
        auth: undefined,
        loopCheck: false,
        nonce: () => 'rOprNGfwEbeRWgbNEkqO',
        site: 'site',
        source: 'default',
        peer: 'mx.example.net[192.0.2.25]:25',
        limits: deliverLimits(defaultLimits),
        recipientsMost: 100,
        messagesMost: 1000,
        idleMs: 60_000,
        ...options,
      },
      this,
      new Output(),
      trace,
    )
  }

  // ---- ClientHost ----

  write(bytes: Buffer, done?: () => void): boolean {
    assert(!this.#ended, 'bytes after the end')
    this.#written = Buffer.concat([this.#written, bytes])
    done?.()
    return !this.#full
  }

  startTls(): void {
    this.#reports.push('tls')
  }

  hangUp(): void {
    this.#ended = true
    this.#reports.push('hangup')
  }

  opened(session: SessionInfo): void {
    this.#reports.push(
      `up${session.tls ? ` ${session.tls.protocol}` : ''}${session.tlsFallback === '' ? '' : ` fallback: ${session.tlsFallback}`}`,
    )
  }

  ended(end: SessionEnd): void {
    const { kind, stage, reply, messages } = end
    const words = [reply.code, reply.enhanced, reply.text].filter((word) => word !== '')
    this.#reports.push(`ended ${kind} at ${stage} after ${messages}: ${words.join(' ')}`)
  }

  pull(want: number): void {
    this.#reports.push(`pull ${want}`)
  }

  settled(settlement: Settlement): void {
    this.settlements.push(settlement)
    const results = settlement.results.map((result) => {
      const words = [OUTCOMES[result.outcome], result.apart ? 'apart' : '', result.code, result.enhanced, result.text].filter(
        (word) => word !== '',
      )
      return `[${result.index}] ${words.join(' ')}`
    })
    this.#reports.push(`settled ${settlement.id}/${settlement.group} ${results.join(' ')}`)
  }

  returned(item: ReturnedItem, reason: ReturnReason): void {
    this.#reports.push(`returned ${item.id}/${item.groups.join(',')} ${reason}`)
  }

  readBody(ticket: number, message: StoredMessage, offset: number): void {
    this.#reads.push({ ticket, message, offset })
  }

  closeBody(): void {
    this.#reads = []
  }

  // ---- Play ----

  send(text: string, split: Split = whole): void {
    const bytes = Buffer.from(text, 'latin1')
    // Memory that is overwritten afterwards, as a socket's is.
    const shared = Buffer.alloc(bytes.length + 2)
    for (let start = 0; start < bytes.length;) {
      const end = split(start, bytes.length)
      bytes.copy(shared, 1, start, end)
      this.client.ingest(shared, 1, 1 + end - start, this.now)
      shared.fill('?')
      start = end
    }
  }

  said(): string {
    const text = this.#written.toString('latin1')
    this.#written = Buffer.alloc(0)
    return text
  }

  reports(): string[] {
    const reports = this.#reports
    this.#reports = []
    return reports
  }

  grant(...items: string[]): void {
    const parsed = items.map((text): GrantItem => {
      const [id, groups = '0'] = text.split('/')
      return { id: Number(id), groups: groups.split(',').map(Number), attempt: 1, notAfter: this.now + 5000 }
    })
    this.client.grant(parsed, this.now)
  }

  wait(ms: number): void {
    this.now += ms
    if (this.client.deadline <= this.now) this.client.onTimeout(this.now)
  }

  piece(bytes: number): void {
    const read = this.#reads.shift()
    assert(read, 'no piece was asked for')
    const piece = this.reader.piece(read.message, read.offset, bytes)
    const lent = this.pieces.take()
    lent.length = piece.length
    lent.memory.set(piece)
    this.client.onPiece(read.ticket, lent, this.now)
  }

  pieceError(cause: string): void {
    const read = this.#reads.shift()
    assert(read, 'no piece was asked for')
    this.client.onPieceError(read.ticket, cause, this.now)
  }

  get wantsPiece(): boolean {
    return this.#reads.length > 0
  }

  full(): void {
    this.#full = true
  }

  drain(): void {
    this.#full = false
    this.client.onDrain(this.now)
  }

  event(text: string): void {
    const [verb, ...args] = text.split(' ')
    const rest = args.join(' ')
    const events: Record<string, () => void> = {
      tls: () => this.client.onTls({ protocol: args[0] as string, certificateError: args.slice(1).join(' ') }, this.now),
      end: () => this.client.onEnd(rest, this.now),
      wait: () => this.wait(Number(rest)),
      grant: () => this.grant(...args),
      close: () => this.client.close(this.now),
      piece: () => this.piece(Number(rest)),
      'piece-error': () => this.pieceError(rest),
      full: () => this.full(),
      drain: () => this.drain(),
    }
    const event = events[verb as string]
    assert(event, `unknown event: ${text}`)
    event()
  }
}

/** Plays a dialogue; `pull` reports are compared only where the file has one. */
export function play(dialogue: Dialogue, split: Split): void {
  const harness = new Harness(dialogue.options, dialogue.messages)
  const actual: string[] = []
  const expected: string[] = []
  const wantsPulls = dialogue.steps.some((step) => step.kind === 'R:' && step.text.startsWith('pull'))
  const collect = (): void => {
    const said = harness.said()
    if (said !== '') for (const line of said.replace(/\r\n$/, '').split('\r\n')) actual.push(`C: ${line}`)
    for (const report of harness.reports()) if (wantsPulls || !report.startsWith('pull')) actual.push(`R: ${report}`)
  }
  harness.client.start(harness.now)
  collect()
  let pending = ''
  const flush = (): void => {
    if (pending !== '') {
      actual.push('! S')
      expected.push('! S')
      harness.send(pending, split)
    }
    pending = ''
    collect()
  }
  for (const step of dialogue.steps) {
    if (step.kind === 'S:' || step.kind === 'S|') {
      pending += step.text + (step.kind === 'S:' ? '\r\n' : '')
      continue
    }
    flush()
    if (step.kind === '!') {
      harness.event(step.text)
      actual.push(`! ${step.text}`)
      expected.push(`! ${step.text}`)
      collect()
    } else {
      expected.push(`${step.kind} ${step.text}`)
    }
  }
  flush()
  assert.deepEqual(normalized(actual), normalized(expected))
}

/** Within one turn, what the client says and what it reports have no order among each other. */
function normalized(lines: readonly string[]): string[] {
  const out: string[] = []
  let said: string[] = []
  let reports: string[] = []
  const turn = (): void => {
    out.push(...said, ...reports)
    said = []
    reports = []
  }
  for (const line of lines) {
    if (line.startsWith('!')) {
      turn()
      out.push(line)
    } else if (line.startsWith('C:')) said.push(line)
    else reports.push(line)
  }
  turn()
  return out
}
