import assert from 'node:assert/strict'
import { test } from 'node:test'
import { METRICS, counterTotal, makeMetrics, prometheusText, ThreadMetrics } from '../../src/lib/metrics.ts'

test('counters of all threads add up', () => {
  const memory = makeMetrics(['net.1', 'net.2'])
  new ThreadMetrics(memory, 'net.1').add('rohrpost_accepted_total')
  new ThreadMetrics(memory, 'net.2').add('rohrpost_accepted_total', 4)
  assert.equal(counterTotal(memory, 'rohrpost_accepted_total'), 5)
  assert.equal(counterTotal(memory, 'rohrpost_bounced_total'), 0)
})

test('a thread without a row is a bug', () => {
  assert.throws(() => new ThreadMetrics(makeMetrics(['main']), 'net.1'), RangeError)
})

test('every sample has HELP and TYPE above it, and every metric is written', () => {
  const lines = prometheusText(makeMetrics(['main']), { ready: 0 })
    .trimEnd()
    .split('\n')
  const found: string[] = []
  for (const [at, line] of lines.entries()) {
    const [, name] = /^# TYPE (\S+) /.exec(line) ?? []
    if (name === undefined) continue
    found.push(name)
    assert.match(lines[at - 1] ?? '', new RegExp(`^# HELP ${name} \\S.*\\.$`))
    assert.ok(lines[at + 1]?.startsWith(name), name)
  }
  assert.deepEqual(
    found,
    METRICS.map(({ name }) => name),
  )
  for (const line of lines)
    if (!line.startsWith('#'))
      assert.ok(
        found.some((name) => line.startsWith(name)),
        line,
      )
})

test('the Prometheus text has every metric, cumulative buckets and thread labels', () => {
  const memory = makeMetrics(['main', 'net.1'])
  const net = new ThreadMetrics(memory, 'net.1')
  for (const us of [100, 100, 3000, 70_000]) net.acceptLatency(us)
  net.loopDelay(0.001, 0.02)
  const text = prometheusText(memory, { scheduled: 3, ready: 1 })
  assert.match(text, /^rohrpost_queue\{state="scheduled"\} 3$/m)
  assert.match(text, /^rohrpost_accept_seconds_count 4$/m)
  assert.match(text, /^rohrpost_accept_seconds_bucket\{le="\+Inf"\} 4$/m)
  assert.match(text, /^rohrpost_loop_delay_seconds\{thread="net\.1",quantile="0\.99"\} 0\.020000$/m)
  const buckets = [...text.matchAll(/_bucket\{le="([0-9.e-]+)"\} (\d+)/g)].map((match) => [Number(match[1]), Number(match[2])] as const)
  assert.deepEqual(
    buckets.map(([, n]) => n),
    [2, 3, 4],
  )
  // Each value lies below its bucket's limit and within an eighth of an octave.
  for (const [index, us] of [100, 3000, 70_000].entries()) {
    const limit = (buckets[index] as readonly [number, number])[0] * 1e6
    assert.ok(us <= limit && limit <= us * 1.26, `${us} in ${limit}`)
  }
})
