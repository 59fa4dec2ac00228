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
  [['queue', 'list', '--zebra'], 'unknown option --zebra'],
  [['queue', 'list', '-z'], 'unknown option --z'],
  [['queue', 'list', '--domain'], "Option '--domain <value>' argument missing"],
  [['queue', 'list', '--json=yes'], "Option '--json' does not take an argument"],
  [['queue', 'list', 'example.org'], 'unexpected argument: example.org; filters are options such as --domain'],
  [['queue', 'list', '--state', 'asleep'], '--state is one of scheduled, ready, active, held'],
  [['queue', 'hold'], 'queue hold needs a filter, or --all'],
  [['queue', 'show'], 'a message id is missing, as in "queued as ID"'],
  [['explain', 'a', 'b'], 'unexpected argument: b'],
  [['debug', 'throw'], 'expected one thread, such as net.1'],
  [['sink', '--port', 'x'], '--port is a number from 0 to 65535'],
  [['sink', '--port', '65536'], '--port is a number from 0 to 65535'],
  [['sink', '--reply', '451:2'], '--reply 451:2: a share is at most 1, or 100%'],
  [['sink', '--reply', 'no'], '--reply no is no CODE:SHARE, such as 451:0.1 or 550:5%'],
  [['sink', '--reply', '451:0.6', '--reply', '550:50%'], '--reply: the shares are more than 1 together'],
  [['sink', '--stage', 'helo'], '--stage is one of mail, rcpt, data, dot'],
  [['sink', '--tls', 'yes'], '--tls is one of off, starttls, implicit, broken'],
  [['sink', '2526'], 'unexpected argument: 2526'],
  [['send'], '--from is missing'],
  [['send', '--from', 'a@b'], '--to is missing'],
  [['send', '--from', 'a@b', '--to', 'c@d>\r\nRCPT TO:<e@f'], 'not an address: c@d>\r\nRCPT TO:<e@f'],
  [['send', '--from', '', '--to', 'c@d', '--tls', 'on'], '--tls is one of auto, off, starttls, implicit'],
  [['send', '--from', '', '--to', 'c@d', '--file', '/none', '--body', 'x'], '--body and --file exclude each other'],
  [['send', '--from', '', '--to', 'c@d', '--file', '/none'], 'cannot read /none: ENOENT'],
  [['send', '--from', '', '--to', 'c@d', '--auth', 'anna'], '--auth needs USER:PASSWORD, or the password in ROHRPOST_PASSWORD'],
]

for (const [words, said] of MISTAKES) {
  test(`usage: ${JSON.stringify(words.join(' '))} is told what is wrong and ends with 2`, async () => {
    assert.deepEqual(await run(words), { code: 2, out: '', err: `rohrpost: ${said}\n` })
  })
}
