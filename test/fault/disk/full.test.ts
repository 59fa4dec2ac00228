// A disk that fills up with mail for a site that is down, and one that others fill: mail is refused with 452 4.3.1 in time,
// nothing that was acknowledged is lost, and all goes on without a restart when there is room.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { eventually } from '../../support/wait.ts'
import { Peer } from '../support/peer.ts'
import { NO_MOUNT, SmallDisk } from '../support/small-disk.ts'
import { logs, queueEmpties, queued } from '../support/watch.ts'

const MB = 1024 * 1024
const DISK_BYTES = 24 * MB
const MIN_FREE_BYTES = 5 * MB
const MESSAGES_MAX = 5000

/** A site that is down until it is told to come up, and a server on a small disk that delivers to it. */
class World {
  readonly disk: SmallDisk
  readonly peer: Peer
  readonly server: Server
  readonly acknowledged: string[] = []
  #down: { value: boolean }
  #sent = 0

  private constructor(disk: SmallDisk, peer: Peer, server: Server, down: { value: boolean }) {
    this.disk = disk
    this.peer = peer
    this.server = server
    this.#down = down
  }

  static async start(t: TestContext, minFreeBytes: number): Promise<World | undefined> {
    const disk = SmallDisk.mount(DISK_BYTES)
    if (!disk) {
      t.skip(NO_MOUNT)
      return undefined
    }
    const down = { value: true }
    const peer = await Peer.start(({ verb }) =>
      verb === 'banner' && down.value ? { say: '421 4.3.2 down\r\n', then: 'close' } : undefined,
    )
    const server = await startServer({
      dataDir: join(disk.path, 'data'),
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }],
      retry: { first: '200ms', max: '1s', expire: '1h', warnAfter: false },
      limits: { minFreeBytes, shards: 1 },
    })
    return new World(disk, peer, server, down)
  }

  /** The site comes up: what waits is delivered. */
  comeUp(): void {
    this.#down.value = false
  }

  goDown(): void {
    this.#down.value = true
  }

  /** Hands one message in, small or large; resolves with the reply that decided. */
  async send(client: SmtpClient, bytes: number): Promise<string> {
    const name = `m${++this.#sent}`
    const mail = await client.command('MAIL FROM:<a@example.org>')
    if (mail.code !== 250) return `${mail.code} ${mail.lines[0]}`
    await client.expect(250, `RCPT TO:<${name}@example.net>`)
    await client.expect(354, 'DATA')
    const reply = await client.command(`Subject: ${name}\r\n\r\n${`${'x'.repeat(70)}\r\n`.repeat(bytes / 72)}.`)
    if (reply.code === 250) this.acknowledged.push(`${name}@example.net`)
    return `${reply.code} ${reply.lines[0]}`
  }

  /** Sends until a message is refused; resolves with the refusal. */
  async fill(): Promise<string> {
    using client = await SmtpClient.connect(this.server.port())
    await client.expect(250, 'EHLO test')
    for (let n = 0; n < MESSAGES_MAX; n++) {
      const reply = await this.send(client, n % 10 === 0 ? 100_000 : 6000)
      if (!reply.startsWith('250')) return reply
    }
    throw new Error('the disk never filled')
  }

  /** Resolves once a message is taken again. */
  async takesAgain(): Promise<void> {
    let last = ''
    const probe = async (): Promise<true | undefined> => {
      using client = await SmtpClient.connect(this.server.port())
      await client.expect(250, 'EHLO test')
      last = await this.send(client, 6000)
      return last.startsWith('250') || undefined
    }
    await eventually(30_000, 'mail is taken again', probe, () => last + this.server.child.output())
  }

  /** All that was acknowledged has arrived, and as often as it was sent. */
  async nothingIsLost(): Promise<void> {
    const arrived = (): Set<string> => new Set(this.peer.taken.flatMap(({ to }) => to))
    const missing = (): string[] => this.acknowledged.filter((name) => !arrived().has(name))
    await eventually(
      60_000,
      'all acknowledged mail arrives',
      () => missing().length === 0 || undefined,
      () => `${missing().length} missing\n${this.server.child.output()}`,
    )
    await queueEmpties(this.server)
    assert.deepEqual(this.acknowledged.length, arrived().size)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // Tests stop it themselves; one that failed shall tell why, not that the rest was slow to end.
      await this.server.kill()
      await this.server[Symbol.asyncDispose]()
    } finally {
      await this.peer[Symbol.asyncDispose]()
      this.disk[Symbol.dispose]()
    }
  }
}

test('a disk that mail fills refuses more of it, drains and takes mail again, twice', async (t) => {
  await using world = await World.start(t, MIN_FREE_BYTES)
  if (!world) return
  for (let round = 0; round < 2; round++) {
    assert.match(await world.fill(), /^452 4\.3\.1 Insufficient system storage/)
    assert.ok(world.disk.freeBytes > MB / 4, `${world.disk.freeBytes} bytes are left for settlements and events`)
    assert.ok(world.acknowledged.length > 300, `${world.acknowledged.length} messages fit`)
    world.comeUp()
    await world.takesAgain()
    await world.nothingIsLost()
    world.goDown()
  }
  assert.equal(await world.server.stop(), 0)
  const check = await world.server.command('check', 'spool')
  assert.equal(check.code, 0, check.stdout + check.stderr)
})

test('minFreeBytes refuses mail while there is room on the disk, and is changed by a reload', async (t) => {
  await using world = await World.start(t, 2 * DISK_BYTES)
  if (!world) return
  await logs(world.server, /disk is full: refusing mail/)
  assert.ok(world.disk.freeBytes > DISK_BYTES / 2)
  assert.match(await world.fill(), /^452 4\.3\.1 Insufficient system storage/)
  assert.deepEqual(world.acknowledged, [])
  const config = JSON.parse(readFileSync(world.server.configPath, 'utf8')) as { limits: object }
  writeFileSync(world.server.configPath, JSON.stringify({ ...config, limits: { ...config.limits, minFreeBytes: MB } }))
  world.server.child.signal('SIGHUP')
  await world.takesAgain()
  world.comeUp()
  await world.nothingIsLost()
})

test('a disk that others fill refuses all mail, loses none, and takes mail again when they are gone', async (t) => {
  await using world = await World.start(t, 0)
  if (!world) return
  using client = await SmtpClient.connect(world.server.port())
  await client.expect(250, 'EHLO test')
  for (let n = 0; n < 30; n++) assert.match(await world.send(client, n % 10 === 0 ? 100_000 : 6000), /^250 /)
  world.disk.hog()
  const refusals = new Set<string>()
  for (let session = 0; session < 12; session++) {
    // One session may not ask for ever without handing anything in.
    using again = await SmtpClient.connect(world.server.port())
    await again.expect(250, 'EHLO test')
    for (let n = 0; n < 50; n++) {
      const reply = await world.send(again, 9000)
      if (!reply.startsWith('250')) refusals.add(reply)
    }
  }
  assert.ok(refusals.size > 0, 'nothing was refused')
  for (const refusal of refusals) assert.match(refusal, /^452 4\.3\.1 |^451 4\.3\.[02] /)
  assert.ok(
    [...refusals].some((refusal) => refusal.startsWith('452 4.3.1')),
    [...refusals].join('\n'),
  )
  // Mail goes out of the full disk as well.
  world.comeUp()
  await world.peer.takes(1, 60_000)
  world.disk.unhog()
  await world.takesAgain()
  await world.nothingIsLost()
  assert.equal((await queued(world.server)).length, 0)
  assert.equal(await world.server.stop(), 0)
  assert.equal((await world.server.command('check', 'spool')).code, 0)
  assert.doesNotMatch(world.server.child.output(), /thread died/)
})
