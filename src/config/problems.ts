// What is wrong with a configuration, in words: path, value, what is allowed. Pure.

import type { z } from 'zod'
import { nearest } from './suggest.ts'

export interface ConfigProblem {
  /** `listeners[0].port`; '' for the configuration as a whole. */
  readonly path: string
  /** A sentence without the path. Never holds a password. */
  readonly text: string
}

/** A configuration that cannot be used. The process ends with exit code 78. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 78
  readonly file: string | undefined
  readonly problems: readonly ConfigProblem[]

  constructor(file: string | undefined, problems: readonly ConfigProblem[]) {
    super(problemLines(file, problems).join('\n'))
    this.file = file
    this.problems = problems
  }
}

function problemLines(file: string | undefined, problems: readonly ConfigProblem[]): string[] {
  const where = file ?? 'the embedded configuration'
  return problems.map(({ path, text }) => (path === '' ? `${where}: ${text}` : `${where}: ${path}: ${text}`))
}

const SHOWN_LENGTH_MAX = 60

/** A value as an error shows it: short, on one line. */
export function show(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'undefined') return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = JSON.stringify(value)
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX - 1)}…`
}

/** The sentence for a value that does not fit. */
export function unfit(value: unknown, expected: string): string {
  return value === undefined ? `is missing; expected ${expected}` : `${show(value)} is not allowed; expected ${expected}`
}

/** The sentence for a key that is none. */
export function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near === undefined ? `unknown key; known are ${known.join(', ')}` : `unknown key; did you mean ${near}?`
}

/** `a, b or c`. */
export function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) as string}`
}

/** zod's issues as problems. `input` is the configuration as it was written: paths end where it has no more structure. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], input: unknown): ConfigProblem[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [{ path: pathText(issue.path, input), text: issue.message }]
    // One sentence a key, see `section` in fields.ts.
    const texts = issue.message.split('\n')
    return issue.keys.map((key, i) => ({ path: pathText([...issue.path, key], input), text: texts[i] as string }))
  })
}

function pathText(path: readonly PropertyKey[], input: unknown): string {
  let text = ''
  let at = input
  for (const key of path) {
    // A single value where a list may stand was wrapped into one: its path has no index.
    if (typeof key === 'number' && !Array.isArray(at)) break
    text += typeof key === 'number' ? `[${key}]` : keyText(String(key), text === '')
    at = typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined
  }
  return text
}

function keyText(key: string, first: boolean): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `[${show(key)}]`
  return first ? key : `.${key}`
}
