#!/usr/bin/env node
// Entry of everything. Plain JavaScript that old versions of Node can read, so that they are told what is missing.

// libuv makes its pool at the first use: commits, password hashes, DNS and files must not wait for each other in it.
process.env.UV_THREADPOOL_SIZE = process.env.UV_THREADPOOL_SIZE || '24'

import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

const NEEDED = '24.7'
const EXIT_USAGE = 2

/** Compiled code is kept in a directory of the user's own: one in /tmp could be filled by somebody else. */
function keepCompiledCode() {
  try {
    const directory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'rohrpost')
    nodeModule.enableCompileCache(directory)
    // The call is for this thread; those that it starts look here.
    process.env.NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE || directory
  } catch {
    // Without a home there is no cache, and the start takes a little longer.
  }
}

function isOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [neededMajor, neededMinor] = NEEDED.split('.').map(Number)
  return major < neededMajor || (major === neededMajor && minor < neededMinor)
}

if (isOldNode()) {
  process.stderr.write(`rohrpost needs Node.js ${NEEDED} or newer; this is ${process.versions.node} (${process.execPath})\n`)
  process.exit(EXIT_USAGE)
}
keepCompiledCode()
// A checkout runs its TypeScript; the installed package brings JavaScript, because Node strips no types in node_modules.
const source = new URL('./cli/main.ts', import.meta.url)
const { main } = await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
await main()
