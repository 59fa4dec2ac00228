import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Throttle, makeThrottleMemory, type Admission } from '../../../src/session/auth/throttle.ts'
import { b64, bench, contextOf, hear, say, sayUnseen, type SeenStep } from './twins.ts'

const START = 1_700_000_000_000
const NOW: Admission = { kind: 'now' }
const LOCKED: Admission = { kind: 'locked' }

const RULES = {
  network: { free: 3, delayMs: 1000, delayMsMax: 30_000, lockAfter: 8, windowMs: 900_000 },
  account: { free: 5, delayMs: 500, delayMsMax: 15_000, lockAfter: 12, windowMs: 900_000 },
  knownMs: 86_400_000,
}

test('three failures are free, then the delay doubles, then the network is shut out until the window has passed', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  const seen: Admission[] = []
  let now = START
  for (let failures = 0; failures < 8; failures++) {
    const admission = throttle.admit('192.0.2.1', '', now)
    seen.push(admission)
    if (admission.kind === 'wait') now += admission.ms
    assert.deepEqual(throttle.admit('192.0.2.1', '', now), NOW)
    throttle.failed('192.0.2.1', '', now)
  }
  const waits = [1000, 2000, 4000, 8000].map((ms) => ({ kind: 'wait', ms }))
  assert.deepEqual(seen, [NOW, NOW, NOW, NOW, ...waits])
  assert.deepEqual(throttle.admit('192.0.2.1', '', now), LOCKED)
  assert.equal(throttle.isLocked('192.0.2.1', '', now), true)
  assert.deepEqual(throttle.admit('192.0.2.2', '', now), NOW, 'others are not touched')
  assert.deepEqual(throttle.admit('192.0.2.1', '', now + RULES.network.windowMs - 1), LOCKED)
  assert.deepEqual(throttle.admit('192.0.2.1', '', now + RULES.network.windowMs), NOW)
})

test('delays have a largest value', () => {
  const throttle = new Throttle(makeThrottleMemory(64), { ...RULES, network: { ...RULES.network, lockAfter: 100 } })
  for (let i = 0; i < 30; i++) throttle.failed('n', '', START)
  assert.deepEqual(throttle.admit('n', '', START), { kind: 'wait', ms: 30_000 })
})

test('who waits takes a turn: the clock starts again for the others', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  for (let i = 0; i < 4; i++) throttle.failed('n', '', START)
  assert.deepEqual(throttle.admit('n', '', START + 999), { kind: 'wait', ms: 1 })
  assert.deepEqual(throttle.admit('n', '', START + 1000), NOW)
  assert.deepEqual(throttle.admit('n', '', START + 1000), { kind: 'wait', ms: 1000 })
})

test('many networks that guess at one account are braked together, but its owner is not', () => {
  const throttle = new Throttle(makeThrottleMemory(256), RULES)
  throttle.succeeded('home', 'anna', START)
  for (let i = 0; i < 12; i++) throttle.failed(`net${i}`, 'anna', START)
  assert.deepEqual(throttle.admit('net99', 'anna', START), LOCKED)
  assert.deepEqual(throttle.admit('net99', 'bert', START), NOW)
  assert.deepEqual(throttle.admit('home', 'anna', START), NOW, 'a network from which the account logged in lately')
  assert.deepEqual(throttle.admit('home', 'anna', START + RULES.knownMs), NOW, 'by then the lock is over too')
  for (let i = 0; i < 12; i++) throttle.failed(`net${i}`, 'anna', START + RULES.knownMs)
  assert.deepEqual(throttle.admit('home', 'anna', START + RULES.knownMs), LOCKED, 'the network is not known any more')
})

test('a mistyped password at home does not count against the account, but does against the network', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  throttle.succeeded('home', 'anna', START)
  for (let i = 0; i < 8; i++) throttle.failed('home', 'anna', START)
  assert.deepEqual(throttle.admit('home', 'anna', START), LOCKED)
  assert.deepEqual(throttle.admit('office', 'anna', START), NOW)
})

test('a success does not wash the network clean', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  for (let i = 0; i < 4; i++) throttle.failed('n', 'victim', START)
  throttle.succeeded('n', 'own', START)
  assert.deepEqual(throttle.admit('n', 'victim', START), { kind: 'wait', ms: 1000 })
})

test('a clock that is put back by a day does not shut out for a day who has mistyped a few times', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  for (let i = 0; i < 4; i++) throttle.failed('n', 'anna', START + 86_400_000)
  assert.deepEqual(throttle.admit('n', 'anna', START), NOW)
  for (let i = 0; i < 4; i++) throttle.failed('n', 'anna', START)
  assert.deepEqual(throttle.admit('n', 'anna', START - 5), { kind: 'wait', ms: 1005 }, 'another thread, a moment behind')
})

test('clients that are not counted are held only against the account', () => {
  const throttle = new Throttle(makeThrottleMemory(64), RULES)
  for (let i = 0; i < 8; i++) throttle.failed('', `user${i}`, START)
  assert.deepEqual(throttle.admit('', 'anna', START), NOW)
  for (let i = 0; i < 12; i++) throttle.failed('', 'anna', START)
  assert.deepEqual(throttle.admit('', 'anna', START), LOCKED)
})

test('guesses from outside do not shut an account out of our own webmail, nor those through it the account outside', () => {
  const throttle = new Throttle(makeThrottleMemory(256), RULES)
  for (let i = 0; i < 12; i++) throttle.failed(`net${i}`, 'anna', START)
  assert.deepEqual(throttle.admit('net99', 'anna', START), LOCKED)
  assert.deepEqual(throttle.admit('', 'anna', START), NOW)
  for (let i = 0; i < 12; i++) throttle.failed('', 'bert', START)
  assert.deepEqual(throttle.admit('', 'bert', START), LOCKED)
  assert.deepEqual(throttle.admit('net99', 'bert', START), NOW)
})

test('a flood of other names neither grows the table nor frees who is locked', () => {
  const memory = makeThrottleMemory(64)
  const throttle = new Throttle(memory, RULES)
  for (let i = 0; i < 8; i++) throttle.failed('attacker', '', START)
  const bytes = memory.networks.buffer.byteLength
  for (let i = 0; i < 5000; i++) throttle.failed(`net${i}`, '', START + 1)
  assert.equal(memory.networks.buffer.byteLength, bytes)
  assert.deepEqual(throttle.admit('attacker', '', START + 1), LOCKED)
})

test('two instances over the same memory see the same failures', () => {
  const memory = makeThrottleMemory(64)
  const [a, b] = [new Throttle(memory, RULES), new Throttle(memory, RULES)]
  for (let i = 0; i < 4; i++) (i % 2 ? a : b).failed('n', '', START)
  assert.deepEqual(a.admit('n', '', START), { kind: 'wait', ms: 1000 })
  assert.deepEqual(b.admit('n', '', START), { kind: 'wait', ms: 1000 })
})

const CREDENTIALS = { kind: 'failure', reply: 'credentials' }
const TEMPORARY = { kind: 'failure', reply: 'temporary' }

test('exchanges wait by deadline, one after the other, and the answer to a right password waits as well', () => {
  const { authenticator, clock, passwords } = bench()
  const login = (password: string): SeenStep[] => hear(authenticator.begin('PLAIN', contextOf()), b64(`\0anna@example.org\0${password}`))
  for (let i = 0; i < 4; i++) assert.deepEqual(login(`guess${i}`), [CREDENTIALS])
  const [right, wrong] = [login('pencil'), login('guess5')]
  clock.advance(999)
  assert.deepEqual([right, wrong], [[], []])
  assert.equal(passwords.asked.length, 4, 'nothing is looked at before its time')
  clock.advance(1)
  assert.deepEqual([right, wrong], [[{ kind: 'success', account: 'anna@example.org' }], []])
  clock.advance(999)
  assert.deepEqual(wrong, [])
  clock.advance(1)
  assert.deepEqual(wrong, [CREDENTIALS])
})

test('a thousand guesses on as many connections are no faster than on one', () => {
  const { authenticator, clock, passwords } = bench()
  const login = (n: number): SeenStep[] => hear(authenticator.begin('PLAIN', contextOf()), b64(`\0anna@example.org\0guess${n}`))
  for (let i = 0; i < 4; i++) login(i)
  const answers = Array.from({ length: 1000 }, (_, n) => login(n + 10))
  clock.advance(60_000)
  // 1 + 2 + 4 + 8 + 16 s after the four that were free; who would have waited more than a minute was refused.
  assert.equal(passwords.asked.length, 9)
  assert.equal(answers.filter((steps) => steps.length === 0).length, 0, 'everybody is answered within a minute')
  assert.equal(answers.filter(([step]) => step?.reply === 'temporary').length, 995)
  assert.equal(clock.nextTimerAt(), Infinity, 'no timer is left')
})

test('a locked network is refused unseen, even with the right password', () => {
  const { authenticator, clock, passwords } = bench()
  const login = (password: string): SeenStep[] => hear(authenticator.begin('PLAIN', contextOf()), b64(`\0anna@example.org\0${password}`))
  for (let i = 0; i < 20; i++) {
    login(`guess${i}`)
    clock.advance(30_000)
  }
  assert.equal(passwords.asked.length, 20)
  const refused = login('pencil')
  assert.deepEqual(refused, [], 'not at once')
  clock.advance(1000)
  assert.deepEqual(refused, [TEMPORARY])
  assert.equal(passwords.asked.length, 20)
  clock.advance(900_000)
  assert.deepEqual(login('pencil'), [{ kind: 'success', account: 'anna@example.org' }])
})

test('SCRAM exchanges begun in store are no guesses after the lock', () => {
  const { authenticator, clock } = bench()
  const first = b64('n,,n=anna@example.org,r=x')
  const store = authenticator.begin('SCRAM-SHA-256', contextOf())
  assert.equal(say(store, first).kind, 'challenge')
  for (let i = 0; i < 20; i++) {
    hear(authenticator.begin('PLAIN', contextOf()), b64(`\0anna@example.org\0guess${i}`))
    clock.advance(30_000)
  }
  assert.deepEqual(sayUnseen(store, b64('c=biws,r=x,p=AAAA'), clock), TEMPORARY)
})

test('a client that goes while it waits leaves no timer and frees its place', () => {
  const { authenticator, clock, passwords } = bench()
  const begin = (n: number): { abandon(): void } => {
    const exchange = authenticator.begin('PLAIN', contextOf())
    hear(exchange, b64(`\0anna@example.org\0guess${n}`))
    return exchange
  }
  for (let i = 0; i < 4; i++) begin(i)
  for (let i = 0; i < 1500; i++) begin(i + 10).abandon()
  assert.equal(clock.nextTimerAt(), Infinity)
  begin(2000)
  clock.advance(1000)
  assert.equal(passwords.asked.length, 5)
})

test('clients in relayFrom share no counter, so that one user of a webmail does not shut out the rest', () => {
  const { authenticator, passwords } = bench(undefined, { relayFrom: ['192.0.2.0/24'] })
  for (let i = 0; i < 30; i++) hear(authenticator.begin('PLAIN', contextOf()), b64(`\0user${i}@example.org\0guess`))
  assert.equal(passwords.asked.length, 30)
})

test('a client that a proxy in relayFrom cannot name is braked with all such clients', () => {
  const { authenticator, passwords } = bench(undefined, { relayFrom: ['192.0.2.0/24'] })
  const context = contextOf({ clientUnknown: true })
  for (let i = 0; i < 30; i++) hear(authenticator.begin('PLAIN', context), b64(`\0user${i}@example.org\0guess`))
  assert.equal(passwords.asked.length, 4, 'three failures are free, the fourth is slow')
})
