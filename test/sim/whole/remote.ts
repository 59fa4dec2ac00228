// The mail servers of the world, and the network to them: a transport whose every byte and delay comes from the seed.
//
// A site answers by its temper: it takes mail, defers, rejects, says 421, talks nonsense, falls silent, breaks off at any
// byte, or is not there at all. What it took and what of that the client heard goes into the books.

import assert from 'node:assert/strict'
import type { ConnectTarget, PeerSocket, SocketEvents, Transport } from '../../../src/deliver/transport.ts'
import type { Random } from '../../../src/lib/prng.ts'
import type { SiteLimits } from '../../../src/queue/ports.ts'
import type { Books, Taking } from './books.ts'
import type { WorldClock } from './clock.ts'
import type { Life } from './life.ts'

/** Shares, of connections where nothing else is said. */
export interface Temper {
  dead: boolean
  /** Of the dead: does not even refuse. */
  silent: boolean
  /** 421 or 554 as banner, 421 to a command. */
  refuses: number
  /** 4xx to a recipient or a message. */
  defers: number
  /** 5xx to a recipient or a message. */
  rejects: number
  /** Broken off at some byte. */
  cuts: number
  /** Nonsense instead of a reply. */
  garbles: number
  /** No reply ever. */
  stalls: number
  slowMs: number
}

export const KIND: Temper = { dead: false, silent: false, refuses: 0, defers: 0, rejects: 0, cuts: 0, garbles: 0, stalls: 0, slowMs: 5 }

export interface RemoteSite {
  /** Of its mail exchangers, or of its static route. */
  readonly key: string
  readonly addresses: readonly string[]
  readonly protocol: 'smtp' | 'lmtp'
  readonly limits: Partial<SiteLimits>
  /** Behind `250-` of EHLO. */
  readonly extensions: readonly string[]
  /** Recipients that it takes in one transaction. */
  readonly recipientsMax: number
  temper: Temper
  /** Connections open at the client's end, for the scheduler that lives. */
  open: number
}

export interface RemoteWorld {
  readonly clock: WorldClock
  readonly random: Random
  readonly books: Books
  /** Number of the scheduler's life. */
  readonly reign: number
  siteAt(address: string): RemoteSite | undefined
  note(text: string): void
}

/** Broken off after so many bytes of either side. */
const CUT_BYTES = 3000

export class RemoteNet implements Transport {
  readonly #world: RemoteWorld
  readonly #life: Life
  readonly #sockets = new Set<Line>()
  /** The scheduler's life that the thread obeys: of an order that a dead one left behind its successor knows nothing. */
  reign = 0

  constructor(world: RemoteWorld, life: Life) {
    this.#world = world
    this.#life = life
  }

  connect({ address, port }: ConnectTarget, events: SocketEvents): PeerSocket {
    const site = this.#world.siteAt(address)
    assert.ok(site, `a connection to ${address}, where nobody is`)
    assert.equal(port, site.protocol === 'lmtp' ? 24 : 25)
    const line: Line = new Line(this.#world, this.#life, site, this.reign, events, () => this.#sockets.delete(line))
    this.#sockets.add(line)
    return line
  }

  /** The thread is gone, and its sockets with it. */
  end(): void {
    for (const line of this.#sockets) line.destroy()
  }
}

/** A place in what the site says, and what it means that the client has read up to there. */
interface Mark {
  readonly at: number
  readonly taking: Taking
}

/** One connection, both ends. */
class Line implements PeerSocket {
  readonly #world: RemoteWorld
  readonly #life: Life
  readonly #site: RemoteSite
  readonly #events: SocketEvents
  readonly #gone: () => void
  readonly #session: Session
  readonly #reign: number
  /** The client's end is open. */
  #open = true
  /** The site's end is; a broken line has neither. */
  #up = false
  #cutIn = Infinity
  #cutOut = Infinity
  #in = 0
  #out = 0
  #heard = 0
  #marks: Mark[] = []
  #sendsAt = 0
  #answersAt = 0
  /** The thread died with what it had written, and the rest does not arrive. */
  #lost = false
  #waiting = 0
  #full = false

  constructor(world: RemoteWorld, life: Life, site: RemoteSite, reign: number, events: SocketEvents, gone: () => void) {
    this.#world = world
    this.#life = life
    this.#site = site
    this.#events = events
    this.#gone = gone
    this.#reign = reign
    const { random } = world
    if (random.float() < site.temper.cuts) {
      if (random.below(2) === 0) this.#cutIn = random.below(CUT_BYTES)
      else this.#cutOut = random.below(500)
    }
    this.#session = new Session(world, site, this)
    if (reign === world.reign) site.open++
    assert.ok(site.open <= (site.limits.connections ?? Infinity), `${site.open} connections to ${site.key}`)
    this.#connect()
  }

  /** Whether the client still listens. */
  get heard(): boolean {
    return this.#open && this.#life.alive
  }

  write(bytes: Buffer, done?: () => void): boolean {
    assert.ok(this.#open, 'a write on a socket that was given up')
    const { clock, random } = this.#world
    this.#sendsAt = Math.max(this.#sendsAt, clock.now() + 1 + random.below(this.#site.temper.slowMs))
    this.#waiting += bytes.length
    clock.after(this.#sendsAt - clock.now(), () => {
      this.#waiting -= bytes.length
      // Read when it leaves: until then its memory is ours.
      this.#lost ||= !this.#life.alive && random.below(2) === 0
      if (!this.#lost) this.#arrive(bytes)
      if (done) this.#life.enter(done)
      if (this.#full && this.#waiting === 0) this.#drain()
    })
    this.#full = this.#waiting > 128 * 1024
    return !this.#full
  }

  startTls(): void {
    assert.fail('nobody offered STARTTLS')
  }

  end(): void {
    this.destroy()
  }

  /** What was written is on its way nevertheless. */
  destroy(): void {
    if (!this.#open) return
    this.#open = false
    if (this.#reign === this.#world.reign) this.#site.open--
    this.#gone()
    for (const { taking } of this.#marks) if (taking.state === 'open') taking.state = 'unknown'
  }

  /** The site says something; `takings` are certain for who has read all of it. */
  say(text: string, takings: readonly Taking[], thinkMs: number): void {
    const { clock, random } = this.#world
    const bytes = Buffer.from(text, 'latin1')
    for (const taking of takings) {
      if (this.heard) this.#marks.push({ at: this.#out + bytes.length, taking })
      else taking.state = 'unknown'
    }
    const whole = Math.min(bytes.length, this.#cutOut - this.#out)
    this.#out += bytes.length
    for (let at = 0; at < whole;) {
      const end = random.below(4) === 0 ? at + 1 + random.below(whole - at) : whole
      const piece = bytes.subarray(at, end)
      this.#answersAt = Math.max(this.#answersAt, clock.now() + 1 + thinkMs + random.below(this.#site.temper.slowMs))
      clock.after(this.#answersAt - clock.now(), () => this.#life.enter(() => this.#receive(piece)))
      at = end
    }
    if (whole < bytes.length) this.#break('read ECONNRESET')
  }

  /** The site ends the connection behind what it said. */
  hangUp(): void {
    this.#break('')
  }

  #connect(): void {
    const { clock, random } = this.#world
    const { dead, silent, slowMs } = this.#site.temper
    if (dead && silent) return
    const delay = 1 + random.below(slowMs)
    clock.after(delay, () => {
      this.#up = !dead
      this.#life.enter(() => this.#tell(() => (dead ? this.#closed('connect ECONNREFUSED') : this.#events.connected())))
      if (!dead) this.#session.greet()
    })
  }

  #arrive(bytes: Buffer): void {
    if (!this.#up) return
    const whole = Math.min(bytes.length, this.#cutIn - this.#in)
    this.#in += bytes.length
    this.#session.ingest(Buffer.from(bytes.subarray(0, whole)))
    if (whole < bytes.length) this.#break('write ECONNRESET')
  }

  #receive(piece: Buffer): void {
    if (!this.#open) return
    this.#heard += piece.length
    const heard = this.#marks.filter(({ at }) => at <= this.#heard)
    this.#marks = this.#marks.filter(({ at }) => at > this.#heard)
    // Before the client learns it: what it makes of it comes at once.
    for (const { taking } of heard) this.#world.books.told(taking)
    // In memory that is used again.
    const copy = Buffer.concat([Buffer.from('padding'), piece, Buffer.from('padding')])
    this.#events.received(copy, 7, 7 + piece.length)
    copy.fill(0)
  }

  #drain(): void {
    this.#full = false
    this.#life.enter(() => this.#tell(() => this.#events.drained()))
  }

  /** The line is over for the site at once, for the client behind what is on its way. */
  #break(cause: string): void {
    if (!this.#up) return
    this.#up = false
    this.#session.over = true
    const { clock, random } = this.#world
    this.#answersAt = Math.max(this.#answersAt, clock.now() + 1 + random.below(5))
    clock.after(this.#answersAt - clock.now(), () => this.#life.enter(() => this.#tell(() => this.#closed(cause))))
  }

  #closed(cause: string): void {
    this.destroy()
    this.#events.closed(cause)
  }

  #tell(act: () => void): void {
    if (this.#open) act()
  }
}

const NONSENSE = ['what?\r\n', '\0\0\0\r\n', '999 no such code\r\n', '354-', '25', 'X'.repeat(3000), '\r\n']

/** What a site makes of the commands that it gets. */
class Session {
  readonly #world: RemoteWorld
  readonly #site: RemoteSite
  readonly #line: Line
  /** Nothing is read or said any more. */
  over = false
  /** Nothing is said any more. */
  #mute = false
  /** The client cannot make sense of what follows. */
  #spoilt = false
  #rest: Buffer = Buffer.alloc(0)
  #mode: 'command' | 'data' | 'chunk' = 'command'
  #chunk = 0
  #content: Buffer[] = []
  #recipients: string[] = []
  #beganAt = 0
  #inMail = false

  constructor(world: RemoteWorld, site: RemoteSite, line: Line) {
    this.#world = world
    this.#site = site
    this.#line = line
  }

  greet(): void {
    if (this.#happens(this.#site.temper.refuses)) {
      this.#say(this.#world.random.below(2) === 0 ? '421 4.7.0 too busy\r\n' : '554 5.7.1 not you\r\n')
      return this.#hangUp()
    }
    this.#say('220 remote.example ESMTP\r\n')
  }

  ingest(bytes: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    while (!this.over && this.#step());
  }

  /** Takes one command, or one piece of content; false when it is not whole. */
  #step(): boolean {
    if (this.#mode === 'chunk') return this.#takeChunk()
    if (this.#mode === 'data') return this.#takeData()
    const end = this.#rest.indexOf('\r\n')
    if (end < 0) return false
    const text = this.#rest.toString('latin1', 0, end)
    this.#rest = this.#rest.subarray(end + 2)
    this.#command(text)
    return true
  }

  #takeData(): boolean {
    const alone = this.#rest.length >= 3 && this.#rest.toString('latin1', 0, 3) === '.\r\n'
    const end = alone ? 0 : this.#rest.indexOf('\r\n.\r\n') + 2
    if (!alone && end < 2) return false
    const stuffed = this.#rest.toString('latin1', 0, end)
    this.#rest = this.#rest.subarray(end + 3)
    this.#content.push(Buffer.from(stuffed.replace(/^\./gm, ''), 'latin1'))
    this.#mode = 'command'
    this.#final()
    return true
  }

  #takeChunk(): boolean {
    if (this.#rest.length < this.#chunk) return false
    this.#content.push(this.#rest.subarray(0, this.#chunk))
    this.#rest = this.#rest.subarray(this.#chunk)
    this.#mode = 'command'
    this.#final()
    return true
  }

  #command(text: string): void {
    const { refuses, defers, rejects } = this.#site.temper
    if (this.#happens(refuses / 20)) {
      this.#say('421 4.3.2 closing\r\n')
      return this.#hangUp()
    }
    const verb = /^\w+/.exec(text)?.[0].toUpperCase() ?? ''
    switch (verb) {
      case 'EHLO':
      case 'LHLO':
        return this.#say(
          ['remote.example', ...this.#site.extensions].map((line, i, all) => `250${i + 1 < all.length ? '-' : ' '}${line}\r\n`).join(''),
        )
      case 'MAIL':
        this.#reset()
        this.#beganAt = this.#world.clock.now()
        if (this.#happens(defers / 8)) return this.#say('451 4.3.0 later\r\n')
        this.#inMail = true
        return this.#say('250 2.1.0 ok\r\n')
      case 'RCPT':
        return this.#recipient(/<([^>]*)>/.exec(text)?.[1] ?? '')
      case 'DATA':
        if (this.#recipients.length === 0 && this.#world.random.below(2) === 0) return this.#say('554 5.5.1 no recipients\r\n')
        if (this.#happens((defers + rejects) / 8)) return this.#say('451 4.3.0 not now\r\n')
        this.#mode = 'data'
        return this.#say('354 go on\r\n')
      case 'BDAT':
        this.#chunk = Number(/^BDAT (\d+) LAST$/.exec(text)?.[1])
        this.#mode = 'chunk'
        return
      case 'RSET':
        this.#reset()
        return this.#say('250 2.0.0 ok\r\n')
      case 'QUIT':
        this.#say('221 2.0.0 bye\r\n')
        return this.#hangUp()
      default:
        assert.fail(`a site was told ${text}`)
    }
  }

  #recipient(address: string): void {
    const { defers, rejects } = this.#site.temper
    if (!this.#inMail) this.#say('503 5.5.1 MAIL first\r\n')
    else if (this.#recipients.length >= this.#site.recipientsMax) this.#say('452 4.5.3 too many\r\n')
    else if (this.#happens(rejects)) this.#say('550 5.1.1 no such user\r\n')
    else if (this.#happens(defers)) this.#say('450 4.2.1 later\r\n')
    else {
      this.#recipients.push(address)
      this.#say('250 2.1.5 ok\r\n')
    }
  }

  /** The whole content is there. */
  #final(): void {
    const recipients = this.#recipients
    const content = Buffer.concat(this.#content)
    this.#reset()
    if (recipients.length === 0) return this.#say('554 5.5.1 no recipients\r\n')
    if (this.#site.protocol === 'lmtp') for (const one of recipients) this.#verdict(content, [one])
    else this.#verdict(content, recipients)
  }

  #verdict(content: Buffer, recipients: readonly string[]): void {
    const { defers, rejects, slowMs } = this.#site.temper
    if (this.#happens(defers)) return this.#say('452 4.3.1 full\r\n')
    if (this.#happens(rejects)) return this.#say('554 5.6.0 not this\r\n')
    const { books, random } = this.#world
    const takings = recipients.map((address) => books.take(content, address, this.#beganAt))
    for (const { mail, fate } of takings) this.#world.note(`${this.#site.key} takes ${mail.key} <${fate.address}>`)
    this.#say('250 2.0.0 taken\r\n', takings, random.below(5) === 0 ? random.below(20) * slowMs : 0)
  }

  #say(text: string, takings: readonly Taking[] = [], thinkMs = 0): void {
    const { garbles, stalls } = this.#site.temper
    const { random } = this.#world
    if (this.#happens(stalls / 8)) this.#mute = true
    if (this.over || this.#mute) return lose(takings)
    if (this.#happens(garbles / 8)) {
      this.#spoilt = true
      this.#line.say(NONSENSE[random.below(NONSENSE.length)] as string, [], thinkMs)
    }
    if (this.#spoilt) lose(takings)
    this.#line.say(text, this.#spoilt ? [] : takings, thinkMs)
  }

  #hangUp(): void {
    this.over = true
    if (!this.#mute) this.#line.hangUp()
  }

  #reset(): void {
    this.#content = []
    this.#recipients = []
    this.#inMail = false
  }

  #happens(share: number): boolean {
    return share > 0 && this.#world.random.float() < share
  }
}

function lose(takings: readonly Taking[]): void {
  for (const taking of takings) taking.state = 'unknown'
}
