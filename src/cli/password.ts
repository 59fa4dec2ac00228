// Reads a new password: from the first line of standard input, or twice from a terminal that does not show it.

import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { PLAIN_FIELD_BYTES_MAX } from '../wire/sasl/plain.ts'
import { CliError, ExitCode, usageError } from './command.ts'
import type { CommandContext } from './command.ts'

/** The part of a terminal's input stream that is used here. */
interface TerminalInput extends Readable {
  readonly isTTY: true
  setRawMode(raw: boolean): unknown
}

const ENTER = new Set(['\r', '\n'])
const END = '\x04'
const ERASE = new Set(['\x7f', '\b'])
const INTERRUPT = '\x03'

export async function readPassword(context: CommandContext): Promise<string> {
  const { stdin } = context
  if (context.flag('password-stdin')) return checked(await firstLine(stdin))
  if (!isTerminal(stdin)) throw usageError('standard input is no terminal: give the password with --password-stdin')
  const input = new HiddenInput(stdin)
  try {
    const password = checked(await ask(context, input, 'Password: '))
    if (password === (await ask(context, input, 'Once more: '))) return password
  } finally {
    input.close()
  }
  throw new CliError(ExitCode.usage, 'the two passwords differ')
}

async function ask(context: CommandContext, input: HiddenInput, prompt: string): Promise<string> {
  context.err.put(prompt)
  try {
    return await input.line()
  } finally {
    context.err.put('\n')
  }
}

function checked(password: string): string {
  if (password === '') throw new CliError(ExitCode.usage, 'the password is empty')
  if (Buffer.byteLength(password, 'utf8') > PLAIN_FIELD_BYTES_MAX) {
    throw new CliError(ExitCode.usage, `the password is longer than ${PLAIN_FIELD_BYTES_MAX} bytes`)
  }
  return password
}

function isTerminal(stdin: Readable): stdin is TerminalInput {
  return (stdin as Partial<TerminalInput>).isTTY === true
}

/** The first line without its end. What is longer than a password may be is cut, and then refused. */
async function firstLine(stream: Readable): Promise<string> {
  const decoder = new StringDecoder('utf8')
  let text = ''
  for await (const chunk of stream) {
    text += typeof chunk === 'string' ? chunk : decoder.write(chunk as Buffer)
    const end = text.indexOf('\n')
    if (end >= 0) return text.slice(0, end).replace(/\r$/, '')
    if (text.length > 2 * PLAIN_FIELD_BYTES_MAX) break
  }
  return text
}

interface Waiting {
  resolve(line: string): void
  reject(error: CliError): void
}

/** Lines typed at a terminal in raw mode: nothing is echoed, and the keys that edit a line are ours to interpret. */
class HiddenInput {
  readonly #stdin: TerminalInput
  readonly #decoder = new StringDecoder('utf8')
  readonly #onData = (chunk: Buffer): void => this.#take(this.#decoder.write(chunk))
  readonly #onEnd = (): void => this.#take(END)
  #keys = ''
  #typed: string[] = []
  #waiting: Waiting | undefined

  constructor(stdin: TerminalInput) {
    this.#stdin = stdin
    stdin.setRawMode(true)
    stdin.on('data', this.#onData)
    stdin.on('end', this.#onEnd)
  }

  line(): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    this.#waiting = { resolve, reject }
    this.#take('')
    return promise
  }

  close(): void {
    this.#stdin.off('data', this.#onData)
    this.#stdin.off('end', this.#onEnd)
    this.#stdin.setRawMode(false)
    this.#stdin.pause()
  }

  /** Keys beyond a line wait for the next question. */
  #take(keys: string): void {
    this.#keys += keys
    for (const key of this.#keys) {
      if (!this.#waiting) return
      this.#keys = this.#keys.slice(key.length)
      this.#press(key)
    }
  }

  #press(key: string): void {
    if (key === INTERRUPT) this.#settle((waiting) => waiting.reject(new CliError(ExitCode.usage, 'interrupted')))
    else if (ENTER.has(key) || key === END) this.#settle((waiting, line) => waiting.resolve(line))
    else if (ERASE.has(key)) this.#typed.pop()
    else this.#typed.push(key)
  }

  #settle(settle: (waiting: Waiting, line: string) => void): void {
    const waiting = this.#waiting
    const line = this.#typed.join('')
    this.#waiting = undefined
    this.#typed = []
    if (waiting) settle(waiting, line)
  }
}
