// Which addresses a connection tries, and in which order.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/config/limits.ts'
import { deliverLimits } from '../../src/deliver/limits.ts'
import type { DestinationHost, EgressSource, HostsDestination } from '../../src/deliver/ports.ts'
import { Reach, targetsOf } from '../../src/deliver/targets.ts'
import type { Target, TargetList } from '../../src/deliver/targets.ts'
import { Prng } from '../../src/lib/prng.ts'
import { AS_IT_IS, hostsRoute } from './support/core.ts'

const LIMITS = { ...deliverLimits(defaultLimits), addressesPerHostMax: 3, addressesPerConnectionMax: 5, connectTimeoutMs: 30_000 }
const KEEP_MS = 1000
const SOURCE: EgressSource = { name: 'one', hello: 'relay.example.org' }

function hostOf(name: string, ...addresses: string[]): DestinationHost {
  return { name, port: 25, addresses, preference: 10 }
}

function routeTo(...hosts: DestinationHost[]): HostsDestination {
  return hostsRoute(25, { hosts })
}

class Lab {
  readonly reach = new Reach(100, KEEP_MS)

  list(route: HostsDestination, now = 0, source = SOURCE): TargetList {
    return targetsOf(route, source, LIMITS, () => undefined, this.reach, AS_IT_IS, now)
  }

  addresses(route: HostsDestination, now = 0, source = SOURCE): string[] {
    return this.list(route, now, source).targets.map(({ address }) => address)
  }

  target(address: string): Target {
    return this.list(routeTo(hostOf(address, address))).targets[0] as Target
  }
}

test('a host gets a few tries, all hosts together some more, in their order', () => {
  const route = routeTo(hostOf('a', 'a1', 'a2', 'a3', 'a4'), hostOf('b', 'b1', 'b2', 'b3', 'b4'))
  assert.deepEqual(new Lab().addresses(route), ['a1', 'a2', 'a3', 'b1', 'b2'])
})

test('every host is tried, however many addresses come before it', () => {
  const lab = new Lab()
  const route = routeTo(hostOf('a', 'a1', 'a2', 'a3'), hostOf('b', 'b1', 'b2'), hostOf('c', 'c1'), hostOf('d', 'd1', 'd2'))
  assert.deepEqual(lab.addresses(route), ['a1', 'a2', 'b1', 'c1', 'd1'])
  const many = Array.from({ length: 10 }, (_, i) => hostOf(`h${i}`, `${i}a`, `${i}b`))
  assert.deepEqual(
    lab.addresses(routeTo(...many)),
    many.map((_, i) => `${i}a`),
  )
})

test('many hosts together take no longer than the usual number of addresses', () => {
  const many = Array.from({ length: 10 }, (_, i) => hostOf(`h${i}`, `${i}a`))
  assert.equal(new Lab().list(routeTo(...many)).connectTimeoutMs, 15_000)
  assert.equal(new Lab().list(routeTo(...many.slice(0, 2))).connectTimeoutMs, 30_000)
})

test('an address that was silent comes last for its time, and makes room for another of its host', () => {
  const lab = new Lab()
  const route = routeTo(hostOf('a', 'a1', 'a2', 'a3', 'a4'), hostOf('b', 'b1'))
  lab.reach.failed(lab.target('a1'), 'timed out', 30_000, 0)
  assert.deepEqual(lab.addresses(route), ['a2', 'a3', 'a4', 'b1'])
  lab.reach.failed(lab.target('a3'), 'timed out', 30_000, 0)
  assert.deepEqual(lab.addresses(route), ['a2', 'a4', 'b1', 'a1'])
  assert.deepEqual(lab.addresses(route, KEEP_MS), ['a1', 'a2', 'a3', 'b1'])
})

test('an address that failed at once keeps its place', () => {
  const lab = new Lab()
  lab.reach.failed(lab.target('a1'), 'ECONNREFUSED', 20, 0)
  assert.deepEqual(lab.addresses(routeTo(hostOf('a', 'a1'), hostOf('b', 'b1'))), ['a1', 'b1'])
})

test('where all addresses were silent they are tried in their order', () => {
  const lab = new Lab()
  for (const address of ['a1', 'b1']) lab.reach.failed(lab.target(address), 'timed out', 30_000, 0)
  assert.deepEqual(lab.addresses(routeTo(hostOf('a', 'a1'), hostOf('b', 'b1'))), ['a1', 'b1'])
})

test('what one source does not reach another may', () => {
  const lab = new Lab()
  lab.reach.failed(lab.target('a1'), 'timed out', 30_000, 0)
  const route = routeTo(hostOf('a', 'a1', 'a2'))
  assert.deepEqual(lab.addresses(route), ['a2', 'a1'])
  assert.deepEqual(lab.addresses(route, 0, { ...SOURCE, name: 'two' }), ['a1', 'a2'])
})

test('IPv6 comes behind IPv4 after some of its peers in a row were not reached, until one works', () => {
  const lab = new Lab()
  const route = routeTo(hostOf('a', '2001:db8::a', '192.0.2.1'), hostOf('b', '2001:db8::b', '192.0.2.2'))
  const usual = ['2001:db8::a', '192.0.2.1', '2001:db8::b', '192.0.2.2']
  const fail = (...hosts: number[]): void => hosts.forEach((host) => lab.reach.failed(lab.target(`2001:db8::${host}`), 'ENETUNREACH', 0, 0))
  fail(1, 2)
  lab.reach.worked(lab.target('2001:db8::3'))
  fail(1, 2)
  assert.deepEqual(lab.addresses(route), usual)
  fail(3)
  assert.deepEqual(lab.addresses(route), ['192.0.2.1', '2001:db8::a', '192.0.2.2', '2001:db8::b'])
  assert.deepEqual(lab.addresses(route, KEEP_MS), usual)
  fail(4)
  lab.reach.worked(lab.target('192.0.2.9'))
  assert.deepEqual(lab.addresses(route)[0], '192.0.2.1')
  lab.reach.worked(lab.target('2001:db8::9'))
  assert.deepEqual(lab.addresses(route), usual)
})

test('each connection shuffles equal hosts, and the addresses of a host within their family', () => {
  const dual = { name: 'a', port: 25, addresses: ['2001:db8::1', '192.0.2.1', '2001:db8::2', '192.0.2.2'], preference: 10 }
  const route = routeTo(dual, hostOf('b', '192.0.2.3'), { ...hostOf('c', '192.0.2.4'), preference: 20 })
  const limits = { ...LIMITS, addressesPerHostMax: 5, addressesPerConnectionMax: 10 }
  const random = new Prng(1)
  const seen = new Set<string>()
  for (let n = 0; n < 200; n++) {
    const { targets } = targetsOf(route, SOURCE, limits, () => undefined, new Reach(100, KEEP_MS), random, 0)
    assert.equal(targets.at(-1)?.host.name, 'c', 'the least preferred host is the last')
    const families = targets.filter(({ host }) => host.name === 'a').map(({ address }) => (address.includes(':') ? '6' : '4'))
    assert.equal(families.join(''), '6464')
    seen.add(targets.map(({ address }) => address.slice(-1)).join(''))
  }
  assert.equal(seen.size, 8, 'two orders each of the hosts and of both families')
})
