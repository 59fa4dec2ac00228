// Dialogues as data files: what the client sends and what happens is the script, what the session does is the expected
// output between it. Each file is run whole, byte by byte and at random splits; UPDATE_GOLDEN=1 writes it anew.
//
//   # text               a comment; the first ones say what the dialogue promises
//   config: {JSON}       settings of the listener (host.ts), `client` for facts of the connection, `slow` commits, …
//   C: text              the client sends a line; lines without output between them are sent at once (pipelined)
//   C~ text              the client sends octets: \r \n \t \0 \xNN \\ are escapes, and no CRLF is added
//   H: event …           something happens: tls, end, drain, pass MS, commit ok|full|stress|failed, admit …,
//                        auth success NAME | challenge BASE64 | failure REASON, recipient accept DOMAIN | refuse
//   S: text              a line of the server
//   S! event             the session asks for: close, starttls, auth MECHANISM RESPONSE, recipient ADDRESS, abandon
//   E: event             an event for observers, unless the config says "events": false
//   M: facts             a message was handed to the spool; M> its envelope, M| its lines

import { readFileSync, writeFileSync } from 'node:fs'
import { idToText } from '../../../src/spool/ids.ts'
import { EnvelopeFlag, Notify } from '../../../src/spool/types.ts'
import type { AuthFailure, AuthStep } from '../../../src/session/auth/ports.ts'
import type { ClientFacts, SmtpEvent, SpoolError } from '../../../src/session/smtp/ports.ts'
import { TestHost, testConfig } from './host.ts'
import type { StoredMessage, TestSettings } from './host.ts'

interface DialogueSettings extends TestSettings {
  readonly client?: Partial<ClientFacts>
  readonly holdCommits?: boolean
  readonly events?: boolean
}

type Step = { readonly kind: 'send'; readonly bytes: Buffer } | { readonly kind: 'event'; readonly words: readonly string[] }

interface Block {
  /** Lines of the script as they stand in the file. */
  readonly source: string[]
  readonly steps: Step[]
}

export interface Dialogue {
  readonly head: string[]
  readonly settings: DialogueSettings
  readonly blocks: Block[]
}

const OUTPUT = /^(?:S[:!]|E:|M[:>|])/

export function readDialogue(text: string): Dialogue {
  const head: string[] = []
  const blocks: Block[] = []
  let settings: DialogueSettings = {}
  let open = false
  for (const line of text.trimEnd().split('\n')) {
    if (OUTPUT.test(line)) {
      open = false
      continue
    }
    const step = stepOf(line)
    if (line.startsWith('config: ')) settings = JSON.parse(line.slice(8)) as DialogueSettings
    if (!step && blocks.length === 0) {
      head.push(line)
      continue
    }
    if (!open || step?.kind !== 'send') {
      blocks.push({ source: [], steps: [] })
      open = step?.kind === 'send' || !step
    }
    const block = blocks.at(-1) as Block
    block.source.push(line)
    if (step) block.steps.push(step)
  }
  return { head, settings, blocks }
}

function stepOf(line: string): Step | undefined {
  if (line.startsWith('C: ') || line === 'C:') return { kind: 'send', bytes: Buffer.from(`${line.slice(3)}\r\n`, 'utf8') }
  if (line.startsWith('C~ ')) return { kind: 'send', bytes: unescaped(line.slice(3)) }
  if (line.startsWith('H: ')) return { kind: 'event', words: line.slice(3).split(' ') }
  if (line.startsWith('#') || line.startsWith('config: ') || line === '') return undefined
  throw new Error(`not a line of a dialogue: ${line}`)
}

function unescaped(text: string): Buffer {
  const octets = Buffer.from(text, 'utf8').toString('latin1')
  const plain = octets.replace(/\\(?:x([0-9a-fA-F]{2})|([rnt0\\]))|\\\*(\d+)\{([^}]*)\}/g, (_, hex, letter, times, repeated) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex as string, 16))
    if (times !== undefined)
      return unescaped(repeated as string)
        .toString('latin1')
        .repeat(Number(times))
    return { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' }[letter as string] as string
  })
  return Buffer.from(plain, 'latin1')
}

/** How the octets of one pipelined group are cut: lengths of chunks. */
export type Cutter = (bytes: Buffer) => Buffer[]

/** Runs the script and returns the file as it should read. */
export function play(dialogue: Dialogue, cutter: Cutter): string {
  const { settings } = dialogue
  const host = new TestHost(testConfig(settings), settings.client)
  host.holdCommits = settings.holdCommits ?? false
  const recorder = new Recorder(host, settings.events ?? true)
  host.session.greet(host.clock.now())
  const lines = [...dialogue.head, ...recorder.take()]
  for (const { source, steps } of dialogue.blocks) {
    const sent = Buffer.concat(steps.flatMap((step) => (step.kind === 'send' ? [step.bytes] : [])))
    for (const chunk of sent.length > 0 ? cutter(sent) : []) recorder.feed(chunk)
    for (const step of steps) if (step.kind === 'event') happen(host, step.words)
    lines.push(...source, ...recorder.take())
  }
  return `${lines.join('\n')}\n`
}

function happen(host: TestHost, words: readonly string[]): void {
  const now = host.clock.now()
  const [event, kind = '', value = ''] = words
  switch (event) {
    case 'tls':
      return host.tls()
    case 'end':
      return host.session.onEnd(now)
    case 'drain':
      return host.session.drain(now)
    case 'pass':
      return host.pass(Number(kind))
    case 'commit':
      return host.finishCommit(kind === 'ok' ? undefined : spoolError(kind))
    case 'admit':
      host.admissionError = kind === 'all' ? undefined : spoolError(kind)
      return
    case 'auth':
      return host.session.onAuth(host.authCalls.at(-1)?.ticket ?? 0, authStep(kind, value), now)
    case 'recipient':
      return host.session.onRecipient(host.asked.at(-1)?.ticket ?? 0, decision(host, kind, value), now)
    default:
      throw new Error(`unknown event: ${words.join(' ')}`)
  }
}

function spoolError(kind: string): SpoolError {
  return { kind: kind as SpoolError['kind'], cause: 'test' }
}

function authStep(kind: string, value: string): AuthStep {
  if (kind === 'success') return { kind, account: value }
  if (kind === 'challenge') return { kind, data: Buffer.from(value) }
  return { kind: 'failure', reply: value as AuthFailure }
}

function decision(host: TestHost, kind: string, value: string): Parameters<TestHost['session']['onRecipient']>[1] {
  const address = host.asked.at(-1)?.facts.recipient ?? ''
  if (kind === 'accept') return { kind, domain: value, address }
  return { kind: 'refuse', rule: 'unknown-user', reply: { code: 550, enhanced: '5.1.1', text: 'No such user here' } }
}

/** Writes down what the session does, as lines. */
class Recorder {
  readonly #host: TestHost
  readonly #events: boolean
  #eventsTaken = 0
  #messagesTaken = 0
  #authTaken = 0
  #askedTaken = 0
  #abandonedTaken = 0
  #closed = false
  #tls = false

  constructor(host: TestHost, events: boolean) {
    this.#host = host
    this.#events = events
  }

  /** A client whose connection is closed or in a handshake sends in vain. */
  feed(chunk: Buffer): void {
    if (!this.#host.closed && !this.#host.tlsWanted) this.#host.feed(chunk)
  }

  take(): string[] {
    const host = this.#host
    const lines: string[] = []
    for (const line of host.said().split('\r\n').slice(0, -1)) lines.push(`S: ${escaped(line)}`)
    for (const { mechanism, response } of host.authCalls.slice(this.#authTaken))
      lines.push(`S! auth ${mechanism} ${shortened(response ?? '-')}`)
    this.#authTaken = host.authCalls.length
    for (const { facts } of host.asked.slice(this.#askedTaken)) lines.push(`S! recipient ${facts.recipient} from ${facts.sender}`)
    this.#askedTaken = host.asked.length
    if (host.abandoned.length > this.#abandonedTaken) lines.push('S! abandon')
    this.#abandonedTaken = host.abandoned.length
    if (host.tlsWanted && !this.#tls) lines.push('S! starttls')
    this.#tls = host.tlsWanted
    if (host.closed && !this.#closed) lines.push('S! close')
    this.#closed = host.closed
    if (this.#events) for (const event of host.events.slice(this.#eventsTaken)) lines.push(`E: ${eventText(event)}`)
    this.#eventsTaken = host.events.length
    for (const message of host.messages.slice(this.#messagesTaken)) lines.push(...messageLines(message))
    this.#messagesTaken = host.messages.length
    return lines
  }
}

function eventText(event: SmtpEvent): string {
  switch (event.kind) {
    case 'refused':
      return `refused ${event.stage} ${event.rule} ${event.reply.code}${event.sender && ` from=${event.sender}`}${event.recipient && ` to=${event.recipient}`}`
    case 'accepted':
      return `accepted ${idToText(event.id)} bytes=${event.bytes} recipients=${event.recipients}`
    case 'authenticated':
      return `authenticated ${event.account} by ${event.mechanism}`
    case 'closed':
      return `closed ${event.reason}`
  }
}

function names(bits: number, of: Readonly<Record<string, number>>): string {
  return Object.entries(of)
    .filter(([, bit]) => bits & bit)
    .map(([name]) => name)
    .join(',')
}

function messageLines({ envelope, recipients, body }: StoredMessage): string[] {
  const { id, sender, flags, acceptedAt, bytes, ...rest } = envelope
  if (bytes !== body.length) throw new Error(`envelope.bytes is ${bytes}, the body has ${body.length}`)
  const facts = Object.entries(rest).filter(([, value]) => value !== '' && value !== 0)
  const times = facts.map(
    ([name, value]) => `${name}=${name === 'releaseAt' || name === 'deliverBy' ? `+${Number(value) - acceptedAt}` : value}`,
  )
  return [
    `M: ${idToText(id)} from=<${escaped(sender)}> flags=${names(flags, EnvelopeFlag)} ${times.join(' ')}`.trimEnd(),
    ...recipients.map(({ address, domain, notify, orcpt }) =>
      `M> <${escaped(address)}> by ${domain}${notify ? ` notify=${names(notify, Notify)}` : ''}${orcpt && ` orcpt=${orcpt}`}`.trimEnd(),
    ),
    ...body
      .toString('latin1')
      .split(/(?<=\n)/)
      .map((line) => `M| ${escapedOctets(line.endsWith('\r\n') ? line.slice(0, -2) : `${line}\\`)}`),
  ]
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 10)}… (${text.length})` : text
}

function escaped(text: string): string {
  return text.replace(/[^ -~\u0080-\uffff]/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function escapedOctets(octets: string): string {
  return octets.replace(/[^ -~\t]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

export function loadDialogue(file: string): { readonly text: string; readonly dialogue: Dialogue } {
  const text = readFileSync(file, 'utf8')
  return { text, dialogue: readDialogue(text) }
}

export function updateDialogue(file: string, dialogue: Dialogue): string {
  const text = play(dialogue, (bytes) => [bytes])
  writeFileSync(file, text)
  return text
}
