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

const ENTER = new Set(['\r', '\n', '\x04'])
const ERASE = new Set(['\x7f', '\b'])
const INTERRUPT = '\x03'

export async function readPassword(context: CommandContext): Promise<string> {
  const { stdin } = context
  if (context.flag('password-stdin')) return checked(await firstLine(stdin))
  if (!isTerminal(stdin)) throw usageError('standard input is no terminal: give the password with --password-stdin')
  const password = await askHidden(context, stdin, 'Password: ')
  const again = await askHidden(context, stdin, 'Once more: ')
  if (password !== again) throw new CliError(ExitCode.usage, 'the two passwords differ')
  return checked(password)
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

/** In raw mode nothing is echoed, and the keys that edit a line are ours to interpret. */
async function askHidden(context: CommandContext, stdin: TerminalInput, prompt: string): Promise<string> {
  context.err.put(prompt)
  stdin.setRawMode(true)
  try {
    return await typedLine(stdin)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    context.err.put('\n')
  }
}

function typedLine(stdin: TerminalInput): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const decoder = new StringDecoder('utf8')
  const typed: string[] = []
  const onKeys = (chunk: Buffer): void => {
    for (const key of decoder.write(chunk)) {
      if (ENTER.has(key)) return resolve(typed.join(''))
      if (key === INTERRUPT) return reject(new CliError(ExitCode.usage, 'interrupted'))
      if (ERASE.has(key)) typed.pop()
      else typed.push(key)
    }
  }
  const onEnd = (): void => resolve(typed.join(''))
  stdin.on('data', onKeys)
  stdin.once('end', onEnd)
  return promise.finally(() => {
    stdin.off('data', onKeys)
    stdin.off('end', onEnd)
  })
}
