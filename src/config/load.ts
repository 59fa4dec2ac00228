// Loads a configuration from a TypeScript, JavaScript or JSON file, or the embedded default. Main thread and commands.

import { readFile, stat } from 'node:fs/promises'
import { availableParallelism, hostname } from 'node:os'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { asciiName } from '../lib/hostname.ts'
import { parseConfig } from './parse.ts'
import { ConfigError } from './problems.ts'
import type { Config } from './schema.ts'

const MODULE_EXTENSIONS = ['.ts', '.mts', '.js', '.mjs', '.cjs']

/**
 * The validated, frozen configuration of `file`; the embedded default without one. Relative paths in it begin at the
 * file's directory. Rejects with ConfigError. Loading a changed module again sees the change, but not one in what it imports.
 */
export async function loadConfig(file: string | undefined): Promise<Config> {
  const path = file === undefined ? undefined : resolve(file)
  const input = path === undefined ? {} : await read(path)
  const baseDir = path === undefined ? process.cwd() : dirname(path)
  const parsed = parseConfig(input, { baseDir, hostname: validHostname(hostname()), cores: availableParallelism() })
  if (!parsed.ok) throw new ConfigError(path, parsed.error)
  return parsed.value
}

/** The system's name in the form that EHLO wants (RFC 5321 §2.3.5), `localhost` when nothing is left of it. */
export function validHostname(name: string): string {
  const labels = name.toLowerCase().split('.')
  const clean = labels.map((label) =>
    label
      .replace(/[^a-z0-9-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 63)
      .replace(/-+$/, ''),
  )
  return asciiName(clean.filter((label) => label !== '').join('.')) ?? 'localhost'
}

async function read(path: string): Promise<unknown> {
  const extension = extname(path)
  const bad = (text: string): ConfigError => new ConfigError(path, [{ path: '', text }])
  const changed = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw bad(error.code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${error.code ?? error.message}`)
  })
  if (!changed.isFile()) throw bad('is not a file')
  if (extension === '.json') return readJson(path, bad)
  if (!MODULE_EXTENSIONS.includes(extension)) throw bad(`expected a file that ends in .json, ${MODULE_EXTENSIONS.join(', ')}`)
  return importDefault(path, changed.mtimeMs, bad)
}

async function readJson(path: string, bad: (text: string) => ConfigError): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw bad(`cannot be read: ${error.code ?? error.message}`)
  })
  try {
    return JSON.parse(text)
  } catch (error) {
    throw bad(`is not JSON: ${(error as SyntaxError).message}`)
  }
}

async function importDefault(path: string, version: number, bad: (text: string) => ConfigError): Promise<unknown> {
  const url = pathToFileURL(path)
  // Modules are cached by address: another one for each version of the file.
  url.searchParams.set('version', String(version))
  let module: Record<string, unknown>
  try {
    module = (await import(url.href)) as Record<string, unknown>
  } catch (error) {
    throw bad(`cannot be loaded: ${placeOf(error, path)}${error instanceof Error ? error.message : String(error)}`)
  }
  if (!('default' in module)) throw bad('has no default export; expected `export default { … }`')
  // An empty file, or one whose export was forgotten, is CommonJS to Node and exports an empty object: no wish for the defaults.
  const exported = module['default']
  const isEmpty = typeof exported === 'object' && exported !== null && Object.keys(exported).length === 0
  if (isEmpty && 'module.exports' in module) throw bad('exports nothing; expected `export default { … }`')
  return exported
}

/** A syntax error's stack begins with its place. */
const SYNTAX_PLACE = /^(?:file:\/\/)?(\/[^?\n]*?)(?:\?.*)?:(\d+)$/
const FRAME_PLACE = /^ {4}at .*?(?:file:\/\/)?(\/[^?():]+)(?:\?[^:]*)?:(\d+):\d+\)?$/

/** `line 3: ` for what is wrong in the file itself, with the name of the file for what it imports; '' when it is unknown. */
function placeOf(error: unknown, path: string): string {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : []
  const frames = lines.filter((line) => line.startsWith('    at ') && !line.includes('node:') && !line.includes(import.meta.url))
  const match = SYNTAX_PLACE.exec(lines[0] ?? '') ?? FRAME_PLACE.exec(frames[0] ?? '')
  if (!match) return ''
  const file = decodeURIComponent(match[1] as string)
  return file === path ? `line ${match[2]}: ` : `${file}, line ${match[2]}: `
}
