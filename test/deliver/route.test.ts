import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/config/limits.ts'
import { Prng } from '../../src/lib/prng.ts'
import { Router } from '../../src/deliver/route.ts'
import type { RouterOptions } from '../../src/deliver/route.ts'
import type { Destination } from '../../src/deliver/ports.ts'
import { MemoryResolver } from '../../src/net/resolver-memory.ts'
import type { ZoneData } from '../../src/net/resolver-memory.ts'
import type { RouteAnswer, SiteLimits } from '../../src/queue/ports.ts'

const ZONE: ZoneData = {
  'example.org': {
    MX: [
      [10, 'mx2.mail.example'],
      [10, 'MX1.mail.example'],
    ],
  },
  'sister.example': {
    MX: [
      [5, 'mx1.mail.example'],
      [50, 'mx2.mail.example'],
    ],
  },
  'mx1.mail.example': { A: ['192.0.2.1'] },
  'mx2.mail.example': { A: ['192.0.2.2'] },
  'smart.example': { A: ['192.0.2.3'], AAAA: ['2001:db8::3'], ttlMs: 120_000 },
  'second.example': { A: ['192.0.2.4'], ttlMs: 240_000 },
  'dead.example': { fails: 'servfail' },
}

const LIMITS: SiteLimits = {
  connections: 7,
  messagesPerConnection: 100,
  recipientsPerTransaction: 50,
  connectionRate: undefined,
  messageRate: undefined,
  idleReuseMs: 1000,
  tlsRequired: false,
  reactions: [],
  origins: {},
}

interface Lab {
  readonly routes?: readonly (readonly [domain: string, to: string])[]
  readonly domains?: readonly (readonly [name: string, deliverTo: readonly string[]])[]
  readonly options?: Partial<RouterOptions>
}

function router({ routes = [['*', 'mx']], domains = [], options = {} }: Lab): {
  router: Router
  dns: MemoryResolver
  asked: [string, string][]
} {
  const dns = new MemoryResolver(ZONE)
  const asked: [string, string][] = []
  const made = new Router({
    config: {
      hostname: 'us.example.net',
      domains: domains.map(([name, deliverTo]) => ({ name, deliverTo })),
      routes: routes.map(([domain, to]) => ({ domain, to })),
      mxPort: 25,
      allowHosts: [],
      limits: defaultLimits,
    },
    resolver: dns,
    random: new Prng(3),
    ownAddresses: [],
    providerOf: (hosts) => (hosts.every((host) => host.endsWith('.mail.example')) ? 'mail' : ''),
    limitsFor: (site, provider) => {
      asked.push([site, provider])
      return LIMITS
    },
    hosts: new Map([['relay.lan', ['10.0.0.25']]]),
    ...options,
  })
  return { router: made, dns, asked }
}

function route(made: Router, domain: string): Promise<RouteAnswer<Destination>> {
  return new Promise((resolve) => made.route(domain, resolve))
}

async function siteOf(lab: Lab, domain: string): Promise<{ key: string; route: Destination; ttlMs: number }> {
  const answer = await route(router(lab).router, domain)
  assert(answer.kind === 'site', JSON.stringify(answer))
  return { key: answer.site.key, route: answer.site.route, ttlMs: answer.ttlMs }
}

test('the first rule that matches holds: the domain, what it is below of, or everything', async () => {
  const lab: Lab = {
    routes: [
      ['example.org', 'smtp://192.0.2.10'],
      ['*.example.org', 'smtp://192.0.2.11'],
      ['*.deep.example.org', 'smtp://192.0.2.12'],
      ['*', 'smtp://192.0.2.13'],
      ['late.example', 'smtp://192.0.2.14'],
      ['example.org', 'smtp://192.0.2.15'],
    ],
    domains: [['ours.example.org', ['smtp://192.0.2.16']]],
  }
  const table = [
    ['example.org', '10'],
    ['a.example.org', '11'],
    ['x.deep.example.org', '11'],
    ['notexample.org', '13'],
    ['late.example', '13'],
    ['[203.0.113.1]', '13'],
    ['ours.example.org', '16'],
    ['below.ours.example.org', '11'],
  ]
  for (const [domain, want] of table) assert.equal((await siteOf(lab, domain as string)).key, `smtp://192.0.2.${want}:25`, domain)
})

test('a domain that no rule covers waits, it does not bounce', async () => {
  const answer = await route(router({ routes: [] }).router, 'example.org')
  assert.deepEqual(answer, {
    kind: 'temporary',
    reply: { code: 451, enhanced: '4.3.5', text: 'Route for example.org: none is configured' },
    retryMs: 60_000,
  })
})

test('mail exchangers make a site that is named after all of them', async () => {
  const made = router({})
  const one = await route(made.router, 'example.org')
  const other = await route(made.router, 'sister.example')
  assert(one.kind === 'site' && other.kind === 'site')
  assert.equal(one.site.key, 'mx1.mail.example,mx2.mail.example')
  assert.equal(other.site.key, one.site.key, 'order and preference make no difference')
  assert.deepEqual(made.asked[0], ['mx1.mail.example,mx2.mail.example', 'mail'], 'limits are asked for by site and provider')
  assert.equal(one.site.limits, LIMITS)
  assert.deepEqual(other.site.route, {
    kind: 'hosts',
    protocol: 'smtp',
    hosts: [
      { name: 'mx1.mail.example', port: 25, addresses: ['192.0.2.1'], preference: 5 },
      { name: 'mx2.mail.example', port: 25, addresses: ['192.0.2.2'], preference: 50 },
    ],
    tls: 'opportunistic',
    fromMx: true,
  })
})

test('a domain without hosts gives the reply of the lookup', async () => {
  const answer = await route(router({}).router, 'gone.example')
  assert.deepEqual(answer, { kind: 'permanent', reply: { code: 550, enhanced: '5.1.2', text: 'Domain gone.example does not exist' } })
})

test('the text of a reply is no longer than is kept', async () => {
  const { router: made, dns } = router({})
  const [domain, host] = [`${'d'.repeat(60)}.`.repeat(4), `${'h'.repeat(60)}.`.repeat(4)].map((text) => `${text}example`) as [
    string,
    string,
  ]
  dns.set(domain, { MX: [[10, host]] })
  const answer = await route(made, domain)
  assert(answer.kind === 'permanent')
  assert.equal(answer.reply.text.length, defaultLimits.replyTextBytes)
})

test('static targets by address need no DNS', async () => {
  const made = router({ routes: [['*', 'smtp://[2001:db8::25]:2525']] })
  const answer = await route(made.router, 'example.org')
  assert.deepEqual(made.dns.asked, [])
  assert.deepEqual(answer.kind === 'site' && answer.site.route, {
    kind: 'hosts',
    protocol: 'smtp',
    hosts: [{ name: '2001:db8::25', port: 2525, addresses: ['2001:db8::25'], preference: 0 }],
    tls: 'opportunistic',
    implicitTls: false,
    fromMx: false,
  })
})

const HOST_TABLE: readonly [target: string, addresses: readonly string[]][] = [
  ['smtp://127.0.0.1:2526', ['127.0.0.1']],
  ['smtp://localhost:2526', ['::1', '127.0.0.1']],
  ['smtp://sink.localhost', ['::1', '127.0.0.1']],
  ['smtp://relay.lan', ['10.0.0.25']],
  ['smtp://smart.example', ['2001:db8::3', '192.0.2.3']],
]

for (const [target, addresses] of HOST_TABLE) {
  test(`the host of a static target is found: ${target}`, async () => {
    const { route: destination } = await siteOf({ routes: [['*', target]] }, 'example.org')
    assert.deepEqual(destination.kind === 'hosts' && destination.hosts[0]?.addresses, addresses)
  })
}

test('targets that differ in their passwords only are sites of their own, and keep their passwords', async () => {
  const lab: Lab = {
    routes: [
      ['a.example', 'smtps://anna:one@smart.example'],
      ['b.example', 'smtps://anna:two@smart.example'],
      ['*', 'smtps://anna:one@smart.example'],
    ],
  }
  const passwordOf = ({ route: to }: { route: Destination }): string | undefined => (to.kind === 'hosts' ? to.auth?.password : undefined)
  const [a, b, other] = await Promise.all(['a.example', 'b.example', 'c.example'].map((domain) => siteOf(lab, domain)))
  assert(a && b && other)
  assert.deepEqual(
    [a.key, b.key, other.key],
    ['', '#2', ''].map((end) => `smtps://anna@smart.example:465${end}`),
  )
  assert.deepEqual([a, b, other].map(passwordOf), ['one', 'two', 'one'])
})

test('a smart host brings its TLS, its user and its password, and the key tells no secret', async () => {
  const lab: Lab = { routes: [['*', 'smtps://anna:secret@smart.example']] }
  const { key, route: destination, ttlMs } = await siteOf(lab, 'example.org')
  assert.equal(key, 'smtps://anna@smart.example:465')
  assert.equal(ttlMs, 120_000)
  assert(destination.kind === 'hosts')
  assert.deepEqual(destination.auth, { user: 'anna', password: 'secret', allowPlaintext: false })
  assert.equal(destination.implicitTls, true)
  assert.equal(destination.tls, 'verify')
  assert.equal(destination.hosts[0]?.port, 465)
})

test('several targets of one domain are tried in order', async () => {
  const lab: Lab = { domains: [['ours.example', ['lmtp://second.example:2003', 'lmtp://dead.example:2003', 'lmtp://smart.example:2004']]] }
  const { key, route: destination, ttlMs } = await siteOf(lab, 'ours.example')
  assert.equal(key, 'lmtp://second.example:2003,lmtp://dead.example:2003,lmtp://smart.example:2004')
  assert(destination.kind === 'hosts')
  assert.equal(destination.protocol, 'lmtp')
  assert.deepEqual(
    destination.hosts.map(({ name, port, preference }) => [name, port, preference]),
    [
      ['second.example', 2003, 0],
      ['smart.example', 2004, 2],
    ],
  )
  assert.equal(ttlMs, 60_000, 'the one that could not be looked up is asked for again soon')
})

test('a socket on this machine needs no DNS, and may stand in a list with hosts', async () => {
  const made = router({ domains: [['ours.example', ['lmtp:/run/dovecot/lmtp', 'lmtp://192.0.2.1:2003']]] })
  const answer = await route(made.router, 'ours.example')
  assert(answer.kind === 'site' && answer.site.route.kind === 'hosts')
  assert.equal(answer.site.key, 'lmtp:/run/dovecot/lmtp,lmtp://192.0.2.1:2003')
  assert.equal(answer.site.route.protocol, 'lmtp')
  assert.deepEqual(answer.site.route.hosts, [
    { name: '/run/dovecot/lmtp', port: 0, addresses: ['/run/dovecot/lmtp'], preference: 0 },
    { name: '192.0.2.1', port: 2003, addresses: ['192.0.2.1'], preference: 1 },
  ])
  assert.deepEqual(made.dns.asked, [])
})

test('static hosts that cannot be found never bounce mail', async () => {
  const table = [
    ['smtp://gone.example', '4.3.5', 'Static route: gone.example does not exist'],
    ['smtp://dead.example', '4.4.3', 'Static route: dead.example could not be looked up: memory: servfail'],
  ]
  for (const [target, enhanced, text] of table) {
    const answer = await route(router({ routes: [['*', target as string]] }).router, 'example.org')
    assert.deepEqual(answer, { kind: 'temporary', reply: { code: 451, enhanced, text }, retryMs: 60_000 })
  }
  const only6 = router({ routes: [['*', 'smtp://192.0.2.1']], options: { families: 'ipv6-only' } })
  assert.equal((await route(only6.router, 'example.org')).kind, 'temporary')
})

test('questions about one domain at the same time are one question', async () => {
  const { router: made, dns } = router({})
  const answers = await Promise.all([route(made, 'example.org'), route(made, 'example.org'), route(made, 'example.org')])
  assert.equal(answers[0], answers[2])
  assert.equal(dns.asked.filter((question) => question === 'MX example.org').length, 1)
  await route(made, 'example.org')
  assert.equal(dns.asked.filter((question) => question === 'MX example.org').length, 2, 'afterwards it is asked again')
})

test('a site of many hosts keeps a key of bounded length that tells it apart', async () => {
  const { router: made, dns } = router({})
  const mx = (last: string): readonly (readonly [number, string])[] => {
    return [...Array.from({ length: 30 }, (_, i) => [10, `a-rather-long-host-name-${i}.mail.example`] as const), [10, last] as const]
  }
  for (let i = 0; i < 30; i++) dns.set(`a-rather-long-host-name-${i}.mail.example`, { A: ['192.0.2.1'] })
  dns.set('many.example', { MX: mx('mx1.mail.example') })
  dns.set('more.example', { MX: mx('mx2.mail.example') })
  const [many, again, more] = await Promise.all(['many.example', 'many.example', 'more.example'].map((domain) => route(made, domain)))
  assert(many?.kind === 'site' && again?.kind === 'site' && more?.kind === 'site')
  assert.equal(many.site.key.length, 255)
  assert.equal(again.site.key, many.site.key)
  assert.notEqual(more.site.key, many.site.key)
})
