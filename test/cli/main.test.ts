import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMANDS } from '../../src/cli/commands.ts'
import { matchesGolden } from '../support/golden.ts'
import { run } from './run.ts'

test('help lists every command', async () => {
  const { code, out } = await run(['--help'])
  assert.equal(code, 0)
  matchesGolden('cli/help.txt', out)
  assert.deepEqual(await run(['help']), { code: 0, out, err: '' })
  assert.deepEqual(await run(['-h']), { code: 0, out, err: '' })
  assert.deepEqual(await run([]), { code: 2, out: '', err: out })
})

for (const { name } of COMMANDS) {
  test(`${name} --help says what it takes`, async () => {
    const { code, out, err } = await run([...name.split(' '), '--help'])
    assert.deepEqual([code, err], [0, ''])
    matchesGolden(`cli/${name.replace(' ', '-')}.txt`, out)
    assert.deepEqual(await run(['help', ...name.split(' ')]), { code, out, err })
  })
}

test('help lists a family of commands', async () => {
  const { code, out } = await run(['queue', '--help'])
  assert.equal(code, 0)
  assert.match(out, /^ {2}queue bounce {3}\S/m)
  assert.doesNotMatch(out, /account/)
  for (const words of [
    ['help', 'queue'],
    ['queue', '-h'],
    ['queue', 'help'],
  ])
    assert.deepEqual(await run(words), { code, out, err: '' })
})

test('--version is that of the package', async () => {
  const { out } = await run(['--version'])
  assert.match(out, /^\d+\.\d+\.\d+\n$/)
})

const MISTAKES: readonly [words: string[], said: string][] = [
  [['strat'], 'unknown command: strat; did you mean start?'],
  [['zebra'], 'unknown command: zebra; rohrpost --help lists all'],
  [
    ['queue'],
    'queue needs a word more: queue summary, queue list, queue show, queue hold, queue release, queue retry, queue remove, queue bounce',
  ],
  [
    ['queue', '--json'],
    'queue needs a word more: queue summary, queue list, queue show, queue hold, queue release, queue retry, queue remove, queue bounce',
  ],
  [['queue', 'lits'], 'unknown command: queue lits; did you mean queue list?'],
  [['queu', 'list'], 'unknown command: queu; did you mean queue?'],
  [['help', 'strat'], 'unknown command: strat; did you mean start?'],
  [['queue', 'list', '--domian', 'x'], 'unknown option --domian; did you mean --domain?'],
  [['queue', 'list', '--zebra'], 'unknown option --zebra; rohrpost queue list --help lists all'],
  [['queue', 'list', '-z'], 'unknown option -z; rohrpost queue list --help lists all'],
  [['queue', 'list', '--domain'], '--domain needs a value: --domain DOMAIN'],
  [['queue', 'list', '--json=yes'], '--json takes no value'],
  [['events', 'tail', '--from', '-1'], '--from needs a value: --from N; one that begins with a dash is written --from=-…'],
  [['--config', 'x.ts', 'queue', 'list'], 'the command comes first, then its options: rohrpost COMMAND --config'],
  [['queue', 'list', 'example.org'], 'unexpected argument: example.org; rohrpost queue list --help says what it takes'],
  [['queue', 'list', '--id', 'x'], 'x is not a message id: eleven letters and digits, as in "queued as ID"'],
  [['queue', 'show', 'x'], 'x is not a message id: eleven letters and digits, as in "queued as ID"'],
  [['queue', 'list', '--state', 'asleep'], '--state is one of scheduled, ready, active, held'],
  [['queue', 'hold'], 'queue hold needs a filter, or --all'],
  [['queue', 'show'], 'a message id is missing, as in "queued as ID"'],
  [['explain', 'a', 'b'], 'unexpected argument: b; rohrpost explain --help says what it takes'],
  [['explain', 'x'], 'x is not a message id: eleven letters and digits, as in "queued as ID"'],
  [['debug', 'throw'], 'expected one thread, such as net.1'],
  [['debug', 'throw', 'net.1', 'net.2'], 'unexpected argument: net.2; rohrpost debug throw --help says what it takes'],
  [['sink', '--port', 'x'], '--port is a number from 0 to 65535'],
  [['sink', '--port', '65536'], '--port is a number from 0 to 65535'],
  [['sink', '--reply', '451:2'], '--reply 451:2: a share is at most 1, or 100%'],
  [['sink', '--reply', 'no'], '--reply no is no CODE:SHARE, such as 451:0.1 or 550:5%'],
  [['sink', '--reply', '451:0.6', '--reply', '550:50%'], '--reply: the shares are more than 1 together'],
  [['sink', '--stage', 'helo'], '--stage is one of mail, rcpt, data, dot'],
  [['sink', '--tls', 'yes'], '--tls is one of off, starttls, implicit, broken'],
  [
    ['sink', '--without', 'DSM'],
    '--without DSM: the sink announces PIPELINING, 8BITMIME, SMTPUTF8, CHUNKING, SIZE, DSN, ENHANCEDSTATUSCODES, STARTTLS',
  ],
  [['sink', '--count', '0'], '--count is a number from 1 to 1000000000000'],
  [['sink', '--port', '0', '--host', '192.0.2.1'], 'cannot listen on 192.0.2.1:0: no interface of this machine has that address'],
  [['sink', '2526'], 'unexpected argument: 2526; rohrpost sink --help says what it takes'],
  [['send'], '--from is missing'],
  [['send', '--from', 'a@b'], '--to is missing'],
  [['send', '--from', 'a@b', '--to', 'c@d>\r\nRCPT TO:<e@f'], 'not an address: c@d>\r\nRCPT TO:<e@f'],
  [['send', '--from', '', '--to', 'c@d', '--tls', 'on'], '--tls is one of auto, off, starttls, implicit'],
  [['send', '--from', '', '--to', 'c@d', '--server', 'x:65536'], '--server is HOST:PORT, such as 127.0.0.1:2525 or [::1]:25'],
  [['send', '--from', '', '--to', 'c@d', '--server', 'x:0'], '--server is HOST:PORT, such as 127.0.0.1:2525 or [::1]:25'],
  [['send', '--from', '', '--to', 'c@d', '--file', '/none', '--body', 'x'], '--body and --file exclude each other'],
  [['send', '--from', '', '--to', 'c@d', '--file', '/none', '--subject', 'x'], '--subject and --file exclude each other'],
  [['send', '--from', '', '--to', 'c@d', '--file', '/none'], 'cannot read /none: ENOENT'],
  [['send', '--from', '', '--to', 'c@d', '--auth', 'anna'], '--auth needs USER:PASSWORD, or the password in ROHRPOST_PASSWORD'],
]

/** A word that a command has no use for was passed over, so that `start x.ts` started the embedded default. */
for (const { name, arguments: count = 0 } of COMMANDS) {
  test(`usage: ${name} refuses an argument too many`, async () => {
    const words = [...name.split(' '), ...Array.from({ length: count }, () => 'a'), 'b']
    const said = `rohrpost: unexpected argument: b; rohrpost ${name} --help says what it takes\n`
    assert.deepEqual(await run(words), { code: 2, out: '', err: said })
  })
}

for (const [words, said] of MISTAKES) {
  test(`usage: ${JSON.stringify(words.join(' '))} is told what is wrong and ends with 2`, async () => {
    assert.deepEqual(await run(words), { code: 2, out: '', err: `rohrpost: ${said}\n` })
  })
}
