import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FileLock } from '../../src/lib/file-lock.ts'

const MODULE = new URL('../../src/lib/file-lock.ts', import.meta.url).href

test('a lock is exclusive between processes and is released by SIGKILL', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'rohrpost-lock-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'lock')
  const script = `import { FileLock } from '${MODULE}'; FileLock.take('${path}'); process.stdout.write('held'); setInterval(() => {}, 1000)`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  assert.equal(FileLock.take(path), undefined)
  assert.equal(FileLock.holder(path), holder.pid)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const lock = FileLock.take(path)
  assert.ok(lock)
  assert.equal(FileLock.holder(path), process.pid)
  lock.release()
})

test('a released lock can be taken again', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'rohrpost-lock-'))
  t.after(() => rmSync(dir, { recursive: true }))
  FileLock.take(join(dir, 'lock'))?.release()
  const again = FileLock.take(join(dir, 'lock'))
  assert.ok(again)
  again.release()
})

test('nobody has held a lock that does not exist', () => {
  assert.equal(FileLock.holder('/nonexistent/lock'), undefined)
})
