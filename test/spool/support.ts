// Worlds for spool tests: a real directory or a simulated disk, a manual clock, a host that remembers.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { ManualClock } from '../../src/lib/clock.ts'
import { Prng } from '../../src/lib/prng.ts'
import { checkSpool } from '../../src/spool/check.ts'
import type { SpoolReport } from '../../src/spool/check.ts'
import type { SpoolDisk } from '../../src/spool/disk.ts'
import { MemoryDisk, withFaults } from '../../src/spool/memory.ts'
import type { Fault } from '../../src/spool/memory.ts'
import { nodeDisk } from '../../src/spool/nodedisk.ts'
import { SpoolOwner } from '../../src/spool/owner.ts'
import type {
  AcceptedRecipient,
  ComposedDsn,
  DsnFacts,
  Intake,
  RowRef,
  SpoolError,
  SpoolEvent,
  SpoolHost,
  SpoolOptions,
} from '../../src/spool/ports.ts'
import { SpoolReader } from '../../src/spool/reader.ts'
import type { BodyStream } from '../../src/spool/reader.ts'
import { Outcome } from '../../src/spool/types.ts'
import type { Envelope, MessageId, QueueRow, RecipientResult, Settled, Settlement } from '../../src/spool/types.ts'

export const MINUTE: number = 60_000
export const HOUR: number = 60 * MINUTE
export const DAY: number = 24 * HOUR

/** Remembers everything that the owner says. */
export class Host implements SpoolHost {
  readonly rows: QueueRow[] = []
  readonly outcomes: Settled[] = []
  readonly events: SpoolEvent[] = []
  readonly warnings: string[] = []
  readonly errors: string[] = []
  /** Told before it is remembered, so that a test can act on it. */
  onAnnounce: (rows: readonly QueueRow[]) => void = () => undefined

  readonly log = {
    info: (): void => undefined,
    warn: (fields: object, text: string): void => void this.warnings.push(`${text} ${JSON.stringify(fields)}`),
    error: (fields: object, text: string): void => void this.errors.push(`${text} ${JSON.stringify(fields)}`),
  }

  announce(rows: readonly QueueRow[]): void {
    this.rows.push(...rows)
    this.onAnnounce(rows)
  }

  settled(items: readonly Settled[]): void {
    this.outcomes.push(...items)
  }

  event(event: SpoolEvent): void {
    this.events.push(event)
  }
}

/** A disk and a clock that outlive owners. */
export interface World {
  readonly clock: ManualClock
  readonly dataDir: string
  disk: SpoolDisk
  /** Removes what the world made. */
  end(): void
}

export function memoryWorld(seed = 1): World & { disk: MemoryDisk } {
  const clock = new ManualClock()
  return { clock, dataDir: '/data', disk: new MemoryDisk({ random: new Prng(seed) }), end: () => undefined }
}

export function realWorld(): World {
  const dataDir = mkdtempSync(join(tmpdir(), 'rohrpost-spool-'))
  return { clock: new ManualClock(), dataDir, disk: nodeDisk, end: () => rmSync(dataDir, { recursive: true, force: true }) }
}

/** Lets I/O go on for a while without moving the clock. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

/** Lets timers fire and I/O end until `promise` has settled. */
export async function drive<T>(world: { readonly clock: ManualClock }, promise: Promise<T>): Promise<T> {
  let waiting = true
  const settled = promise.finally(() => (waiting = false))
  settled.catch(() => undefined)
  while (waiting) {
    world.clock.advance(1)
    await turn()
  }
  return promise
}

/** A notification that says who was told what; its body as text for comparison. */
export function plainDsn(facts: DsnFacts): ComposedDsn | undefined {
  const lines = facts.recipients.map(({ address, action, enhanced, text }) => `${action} ${address} ${enhanced} ${text} ${facts.peer}`)
  const text = `To: ${facts.envelope.sender}\r\n\r\n${lines.join('\r\n')}\r\n`
  const envelope = { ...blank(facts.id, facts.now), tenant: facts.envelope.tenant }
  const domain = facts.envelope.sender.slice(facts.envelope.sender.indexOf('@') + 1)
  return { envelope, recipients: [to(facts.envelope.sender, domain)], body: Buffer.from(text) }
}

function blank(id: MessageId, acceptedAt: number): Envelope {
  const names = { sender: '', envid: '', tenant: '', account: '', client: '' }
  return { id, acceptedAt, flags: 0, bytes: 0, priority: 0, deliverBy: 0, ...names }
}

export function envelopeOf(id: MessageId, acceptedAt: number, changes: Partial<Envelope> = {}): Envelope {
  const names = { sender: 'anna@sender.example', tenant: 'acme', account: 'acme', client: '192.0.2.7' }
  return { ...blank(id, acceptedAt), ...names, ...changes }
}

export function to(address: string, domain: string = address.slice(address.indexOf('@') + 1), notify = 0, orcpt = ''): AcceptedRecipient {
  return { address, domain, notify, orcpt }
}

export function optionsOf(world: World, changes: Partial<SpoolOptions> = {}): SpoolOptions {
  return {
    disk: world.disk,
    clock: world.clock,
    random: new Prng(7),
    retry: { firstMs: 5 * MINUTE, maxMs: 4 * HOUR, expireMs: 5 * DAY },
    warnAfterMs: 4 * HOUR,
    minFreeBytes: 0,
    shards: 2,
    composeDsn: plainDsn,
    ...changes,
  }
}

/** An owner with its host, and short ways to use it. */
export class Bench {
  readonly world: World
  readonly host: Host
  readonly owner: SpoolOwner

  private constructor(world: World, owner: SpoolOwner, host: Host) {
    this.world = world
    this.owner = owner
    this.host = host
  }

  static async open(world: World, changes: Partial<SpoolOptions> = {}, shards: readonly number[] = [0, 1]): Promise<Bench> {
    const host = new Host()
    const owner = await drive(world, SpoolOwner.open(world.dataDir, shards, optionsOf(world, changes), host))
    return new Bench(world, owner, host)
  }

  /** The same disk with faults put in front of it. */
  static faulty(world: World, fault: Fault, changes: Partial<SpoolOptions> = {}, shards?: readonly number[]): Promise<Bench> {
    return Bench.open(world, { disk: withFaults(world.disk, fault), ...changes }, shards)
  }

  drive<T>(promise: Promise<T>): Promise<T> {
    return drive(this.world, promise)
  }

  /** Starts a message; resolves with the error of its commit. */
  begin(
    recipients: readonly AcceptedRecipient[],
    body: Buffer,
    changes: Partial<Envelope> = {},
  ): { id: MessageId; result: Promise<SpoolError | undefined> } {
    const intake = this.owner.openMessage()
    intake.write(body, 0, body.length)
    return { id: intake.id, result: this.commit(intake, recipients, changes) }
  }

  commit(intake: Intake, recipients: readonly AcceptedRecipient[], changes: Partial<Envelope> = {}): Promise<SpoolError | undefined> {
    const envelope = envelopeOf(intake.id, this.world.clock.now(), changes)
    return new Promise((resolve) => intake.commit(envelope, recipients, resolve))
  }

  /** Accepts a message, which must succeed; answers its id. */
  async accept(
    recipients: readonly AcceptedRecipient[],
    body: Buffer = Buffer.from('Subject: x\r\n\r\nhello\r\n'),
    changes: Partial<Envelope> = {},
  ): Promise<MessageId> {
    const { id, result } = this.begin(recipients, body, changes)
    assert.equal(await this.drive(result), undefined)
    return id
  }

  settlement(row: RowRef, results: readonly Partial<RecipientResult>[], changes: Partial<Settlement> = {}): Settlement {
    const now = this.world.clock.now()
    return {
      id: row.id,
      group: row.group,
      results: results.map((result, index) => ({ index, outcome: Outcome.delivered, code: 250, enhanced: '2.0.0', text: 'ok', ...result })),
      places: results.length,
      site: 'smtp://192.0.2.1:25',
      source: 'default',
      peer: 'mx[192.0.2.1]:25',
      peerDsn: false,
      peerDeliverBy: false,
      tls: '',
      startedAt: now - 100,
      finishedAt: now,
      ...changes,
    }
  }

  /** Settles and waits for the acknowledgement; answers what the host heard. */
  async settle(...settlements: Settlement[]): Promise<Settled[]> {
    const before = this.host.outcomes.length
    await this.drive(new Promise<void>((ack) => this.owner.settle(settlements, ack)))
    return this.host.outcomes.slice(before)
  }

  async reader(): Promise<SpoolReader> {
    return this.drive(SpoolReader.open(this.world.dataDir, { disk: this.world.disk }))
  }

  /** The stored body of a message. */
  async body(id: MessageId): Promise<Buffer | undefined> {
    const reader = await this.reader()
    try {
      const message = reader.message(id)
      if (!message) return undefined
      return message.inline ?? (await this.drive(readAll(reader, message)))
    } finally {
      await this.drive(reader.close())
    }
  }

  /** Lets time pass, `ms` at a time, and everything that is handed in become durable, until `condition` holds. */
  async until(condition: () => boolean | Promise<boolean>, ms = 200): Promise<void> {
    for (let step = 0; !(await condition()); step++) {
      assert.ok(step < 1000, 'it never came to pass')
      this.world.clock.advance(ms)
      await this.drive(this.owner.flush())
      await turns(5)
    }
  }

  close(): Promise<void> {
    return this.drive(this.owner.close())
  }

  check(): Promise<SpoolReport> {
    return this.drive(checkSpool(this.world.dataDir, this.world.disk))
  }

  /** Closes and finds nothing wrong in what was left. */
  async finish(): Promise<void> {
    await this.close()
    assert.deepEqual((await this.check()).findings, [])
    assert.deepEqual(this.host.errors, [])
  }
}

async function readAll(reader: SpoolReader, message: NonNullable<ReturnType<SpoolReader['message']>>): Promise<Buffer> {
  const body = await readStream(await reader.openBody(message))
  assert.deepEqual(await readStream(await reader.openBody(message, true)), body)
  return body
}

async function readStream(stream: BodyStream): Promise<Buffer> {
  const body = Buffer.alloc(stream.bytes)
  let at = 0
  while (at < body.length) {
    const n = await stream.read(at, body, at, Math.min(50_000, body.length - at))
    assert.ok(n > 0)
    at += n
  }
  assert.equal(await stream.read(at, Buffer.alloc(10), 0, 10), 0)
  stream.close()
  return body
}

/** Bytes that show where they are from. */
export function bodyOf(bytes: number, seed: number): Buffer {
  const random = new Prng(seed)
  const words = new Uint32Array(Math.ceil(bytes / 4))
  for (let i = 0; i < words.length; i++) words[i] = random.u32()
  return Buffer.from(words.buffer, 0, bytes)
}
