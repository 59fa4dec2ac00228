// A start that cannot be: one clear line, and an exit code that scripts can tell apart.

import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TempFolder } from '../support/process.ts'
import { rohrpost, startServer } from '../support/server.ts'
import { handIn } from '../support/mail.ts'

function configFile(folder: TempFolder, config: object): string {
  const path = join(folder.path, 'start.json')
  writeFileSync(path, JSON.stringify({ dataDir: join(folder.path, 'data'), ...config }))
  return path
}

test('a second start on the same data directory ends with 75 and names the first', async () => {
  await using server = await startServer({ routes: [{ domain: '*', to: 'discard:' }] })
  const second = await rohrpost(['start', '--config', server.configPath])
  assert.deepEqual([second.code, second.stdout], [75, ''])
  assert.match(second.stderr, new RegExp(`^[^\\n]*data directory ${server.dataDir} is in use by process ${server.pid}\\n$`))
  await handIn(server, { to: 'b@x.test' })
  assert.equal((await server.command('queue', 'summary')).code, 0, 'the control socket is still the first one’s')
})

test('a lock that a killed server left is nobody’s', async () => {
  using folder = new TempFolder('killed')
  const config = { routes: [{ domain: '*', to: 'discard:' }] }
  await (await startServer(config, folder.path)).kill()
  await using again = await startServer(config, folder.path)
  await handIn(again, { to: 'b@x.test' })
})

test('a port in use ends with 75 and is named', async () => {
  using folder = new TempFolder('port')
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const started = await rohrpost(['start', '--config', configFile(folder, { listeners: [{ protocol: 'smtp', port, tls: 'off' }] })])
  taken.close()
  assert.deepEqual([started.code, started.stdout], [75, ''])
  assert.match(started.stderr, new RegExp(`^[^\\n]*cannot listen on 127\\.0\\.0\\.1:${port}[^\\n]*in use[^\\n]*\\n$`))
})

test('an address that this machine does not have ends with 78: another try does not help', async () => {
  using folder = new TempFolder('address')
  const started = await rohrpost([
    'start',
    '--config',
    configFile(folder, { listeners: [{ protocol: 'smtp', host: '192.0.2.1', port: 0, tls: 'off' }] }),
  ])
  assert.deepEqual([started.code, started.stdout], [78, ''])
  assert.match(started.stderr, /^[^\n]*cannot listen on 192\.0\.2\.1:0: no interface of this machine has that address\n$/)
})

test('a configuration with mistakes ends with 78 and names each', async () => {
  using folder = new TempFolder('config')
  const path = configFile(folder, { lissteners: [], routes: [{ domain: '*', to: 'gopher://x' }] })
  const started = await rohrpost(['start', '--config', path])
  assert.deepEqual([started.code, started.stdout], [78, ''])
  assert.match(started.stderr, /lissteners.*listeners/)
  assert.match(started.stderr, /routes\[0\]\.to.*smtp:\/\//)
  assert.equal((await rohrpost(['start', '--config', join(folder.path, 'missing.ts')])).code, 78)
  assert.equal((await rohrpost(['start', '--lissten', '25'])).code, 2)
})

test('a certificate that cannot be used ends with 78 and is named', async () => {
  using folder = new TempFolder('cert')
  const cert = join(folder.path, 'cert.pem')
  writeFileSync(cert, 'nothing\n')
  const path = configFile(folder, { listeners: [{ protocol: 'smtp', port: 0 }], tls: { cert, key: cert } })
  const started = await rohrpost(['start', '--config', path])
  assert.deepEqual([started.code, started.stdout], [78, ''])
  assert.ok(started.stderr.includes(cert))
})

test('a command without a server says so with 69', async () => {
  using folder = new TempFolder('none')
  const path = configFile(folder, { listeners: [{ protocol: 'smtp', port: 0 }] })
  for (const command of [['metrics'], ['trace', 'in'], ['queue', 'retry', '--all']]) {
    const ran = await rohrpost([...command, '--config', path])
    assert.equal(ran.code, 69, command.join(' '))
    assert.match(ran.stderr, /^[^\n]*no server[^\n]*\n$/)
  }
})
