// `npm ci` refuses a lockfile that lacks the binaries of other platforms ("Missing: … from lock file"), and a machine of
// such a platform could not run what it installs. npm leaves them out when the registry does not offer them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './source.ts'

interface Entry {
  readonly version?: string
  readonly link?: boolean
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

interface Lockfile {
  readonly packages: Record<string, Entry>
}

function json(name: string): unknown {
  return JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
}

/** Where `name` is found from the package at `at`: in its own node_modules or in one further out. */
function resolve(lock: Lockfile, at: string, name: string): string | undefined {
  for (let from = at; ; from = from.slice(0, Math.max(0, from.lastIndexOf('node_modules/') - 1))) {
    const place = `${from === '' ? '' : `${from}/`}node_modules/${name}`
    if (lock.packages[place]) return place
    if (from === '') return undefined
  }
}

const EXACT = /^\d+\.\d+\.\d+[^ |<>=*x]*$/

/** What is wrong with one dependency of the package at `at`, as words; undefined when it resolves. */
function complaint(lock: Lockfile, at: string, name: string, range: string): string | undefined {
  const asker = at || 'the project'
  const place = resolve(lock, at, name)
  if (place === undefined) return `${name}, which ${asker} asks for`
  const version = lock.packages[place]?.version
  return EXACT.test(range) && version !== range ? `${name} ${range}, which ${asker} asks for: there is ${version}` : undefined
}

function missing(lock: Lockfile): string[] {
  return Object.entries(lock.packages).flatMap(([at, entry]) =>
    Object.entries({ ...entry.dependencies, ...entry.optionalDependencies }).flatMap(
      ([name, range]) => complaint(lock, at, name, range) ?? [],
    ),
  )
}

test('the rule finds an optional package that the lockfile lacks, or has in another version', () => {
  const lock: Lockfile = {
    packages: {
      'node_modules/a': { optionalDependencies: { 'a-linux-x64': '1.0.0', 'a-darwin-arm64': '1.0.0', 'a-win32-x64': '1.0.0' } },
      'node_modules/a/node_modules/a-linux-x64': { version: '1.0.0' },
      'node_modules/a-win32-x64': { version: '0.9.0' },
    },
  }
  assert.deepEqual(missing(lock), [
    'a-darwin-arm64, which node_modules/a asks for',
    'a-win32-x64 1.0.0, which node_modules/a asks for: there is 0.9.0',
  ])
})

test('the lockfile has every dependency of every package, those for other platforms too', (t) => {
  const lock = json('package-lock.json') as Lockfile
  t.diagnostic(`${Object.keys(lock.packages).length} packages`)
  assert.deepEqual(missing(lock), [])
})

test('the lockfile and package.json ask for the same, at exact versions', () => {
  const lock = (json('package-lock.json') as Lockfile).packages['']
  const own = json('package.json') as Entry
  assert.deepEqual(lock?.dependencies ?? {}, own.dependencies ?? {})
  assert.deepEqual(lock?.devDependencies ?? {}, own.devDependencies ?? {})
  assert.deepEqual(lock?.optionalDependencies ?? {}, own.optionalDependencies ?? {})
  const all = Object.entries({ ...own.dependencies, ...own.devDependencies })
  const loose = all.filter(([, range]) => !/^\d+\.\d+\.\d+/.test(range) && !range.startsWith('npm:'))
  assert.deepEqual(loose, [])
})

test('every package in the lockfile has a version', () => {
  const lock = json('package-lock.json') as Lockfile
  const without = Object.entries(lock.packages).filter(([at, entry]) => at !== '' && !entry.link && entry.version === undefined)
  assert.deepEqual(
    without.map(([at]) => at),
    [],
  )
})
